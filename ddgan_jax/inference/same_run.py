"""Check that a config and its data belong to the run in a folder, by content, not by path."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.config.stored import check_same_run
from ddgan_jax.core.errors import UserError
from ddgan_jax.data.source import Source
from ddgan_jax.io.run_folder import read_info
from ddgan_jax.io.storage import AnyPath
from ddgan_jax.methods import fields_of

DATA = ("data.name", "data.dir", "data.split")  # say where the data are, not what they are
WHOLE = 2**30  # bytes of data in memory up to which all examples are hashed
SOME = 256  # examples that are hashed of other data


def fingerprint(source: Source) -> str:
    """A hash of number, shape, pixels and labels of a source, 16 hexadecimal digits.

    Of data that are not in memory, or larger than 1 GiB, evenly spaced examples are hashed, and
    names and sizes of the files where they are known.
    """
    digest = hashlib.sha256(str((source.size, source.shape)).encode())
    size = source.size * int(np.prod(source.shape))
    whole = source.in_memory and size <= WHOLE
    count = source.size if whole else min(SOME, source.size)
    if not whole:
        digest.update(source.contents.encode())
    indices = np.linspace(0, source.size - 1, count).round().astype(int)
    for start in range(0, count, SOME):
        batch = source.take(indices[start : start + SOME])
        for name in ("image", "label"):
            digest.update(np.ascontiguousarray(batch[name]).tobytes())
    return digest.hexdigest()[:16]


def check_content(
    workdir: AnyPath,
    saved: ConfigDict,
    config: ConfigDict,
    load: Callable[[], Source],
    weights: Callable[[], tuple[str, str]] | None = None,
    always: bool = False,
) -> list[str]:
    """Check that a config may be used with the run in a folder, see `check_same_run`.

    Data and an autoencoder that are somewhere else but have the same content are the same.

    Args:
      workdir: the run folder.
      saved: complete config of the run.
      config: the new complete config.
      load: returns the data of `config`.
      weights: returns hashes of the weights of the run's autoencoder and of the one that `config`
        names; None if there are none.
      always: whether data at the same place are compared too, as training on them needs.

    Returns:
      The changes, as "field: old -> new".

    Raises:
      UserError: a change that is not allowed, or data that have changed since the run began.
    """
    moved: list[str] = []
    differs = any(saved.data.get(n[5:]) != config.data.get(n[5:]) for n in DATA)
    known: Mapping[str, Any] = {}
    if (always or differs) and (workdir / "info.json").exists():
        known = read_info(workdir)["data"]
    if "hash" in known and (always or differs):
        source = load()
        found = fingerprint(source)
        if found == known["hash"]:
            moved += DATA
        elif not differs:
            raise _other_data(workdir, config, known, source, found)
    elif known and always and not differs:  # of an earlier version
        source = load()
        same = known.get("examples", source.size) == source.size
        if not same or tuple(known["shape"]) != source.shape:
            raise _other_data(workdir, config, known, source, fingerprint(source))
    old, new = (c.get("space", ConfigDict()).get("autoencoder", "") for c in (saved, config))
    if old != new and weights:
        of_run, of_config = weights()
        moved += ["space.autoencoder"] if of_run == of_config else []
    return check_same_run(workdir, saved, config, fields_of(config), moved)


def check_unchanged(workdir: AnyPath, config: ConfigDict, source: Source) -> None:
    """Check that the training data of the run in a folder are still what they were.

    Args:
      workdir: the run folder; one without a hash of its data is not checked.
      config: complete config of the run.
      source: what `config.data` describes now.

    Raises:
      UserError: the data have changed since the run began.
    """
    known = read_info(workdir).get("data", {}) if (workdir / "info.json").exists() else {}
    if "hash" in known and (found := fingerprint(source)) != known["hash"]:
        raise _other_data(workdir, config, known, source, found)


def _other_data(
    workdir: AnyPath, config: ConfigDict, known: Mapping[str, Any], source: Source, found: str
) -> UserError:
    return UserError(
        f"--workdir={workdir} holds a run on {known.get('examples', 'unknown')} examples of shape "
        f"{tuple(known['shape'])} (hash {known.get('hash', 'unknown')}), and config.data.name = "
        f"{config.data.name!r} now has {source.size} of {source.shape} (hash {found}); the same "
        "data, or another --workdir, are needed"
    )
