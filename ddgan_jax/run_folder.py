"""The run folder: config.json, info.json, checkpoints/, metrics, samples/. All modes read it."""

import json
import os
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ddgan_jax.config import flatten
from ddgan_jax.errors import UserError

# What may change when a run goes on; everything else is what the run is.
MAY_CHANGE = ("optim.", "train.", "sample.", "data.dir")
MUST_STAY = ("train.batch_size", "train.accumulate")


def write_atomically(path: Path, text: str) -> None:
    """Write `path` whole or not at all, whenever the process dies."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


def create(workdir: Path) -> None:
    """Make the folder and see that it can be written to.

    Raises:
      UserError: it cannot be made or written to.
    """
    try:
        (workdir / "samples").mkdir(parents=True, exist_ok=True)
        write_atomically(workdir / ".writable", "")
        (workdir / ".writable").unlink()
    except OSError as error:
        raise UserError(
            f"--workdir={workdir} cannot be written to: {error.strerror}; choose another folder"
        ) from None


def save_config(workdir: Path, config: ConfigDict) -> None:
    """Write the resolved config."""
    write_atomically(workdir / "config.json", json.dumps(config.to_dict(), indent=2) + "\n")


def load_config(workdir: Path) -> ConfigDict:
    """The config of a run folder; lists come back as tuples, as they were.

    Raises:
      UserError: the folder or its config.json is missing or damaged.
    """
    path = workdir / "config.json"
    try:
        loaded = json.loads(path.read_text())
    except FileNotFoundError:
        what = "has no config.json" if workdir.is_dir() else "does not exist"
        raise UserError(
            f"--workdir={workdir} {what}; train first: --config=FILE --workdir={workdir}"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    return ConfigDict(_tuples(loaded))


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def check_same_run(workdir: Path, config: ConfigDict) -> list[str]:
    """Compare with the run folder's config, if it has one.

    Returns:
      The changes that are allowed when a run goes on, as "field: old -> new".

    Raises:
      UserError: the folder holds a run of another model, data or seed.
    """
    if not (workdir / "config.json").exists():
        return []
    old, new = flatten(load_config(workdir)), flatten(config)
    changes = []
    for field in sorted(old.keys() | new.keys()):
        before, after = old.get(field), new.get(field)
        if _plain(before) == _plain(after):
            continue
        if not field.startswith(MAY_CHANGE) or field in MUST_STAY:
            raise UserError(
                f"--workdir={workdir} holds a run with config.{field} = {before!r}, this config "
                f"has {after!r}; choose another --workdir for another run"
            )
        changes.append(f"{field}: {before!r} -> {after!r}")
    return changes


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def data_shape(workdir: Path) -> tuple[int, ...]:
    """The shape of one example of the data that the run was trained on, from info.json.

    Raises:
      UserError: info.json is missing or damaged.
    """
    path = workdir / "info.json"
    try:
        return tuple(json.loads(path.read_text())["data"]["shape"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error!r}): is this a run folder?") from None
