"""The config of a run folder: write it, read it, compare it with that of a resumed run."""

import json
from collections.abc import Collection
from typing import Any

from ml_collections import ConfigDict

from ddgan_jax.config.base import BASE_FIELDS
from ddgan_jax.config.fields import Fields, complete, flatten
from ddgan_jax.core.errors import UserError, described
from ddgan_jax.io.read_json import TEXT, read_json
from ddgan_jax.io.run_folder import write_atomically
from ddgan_jax.io.storage import AnyPath, check_links

# Old -> new names of network attributes that were renamed after version 0.1.
RENAMED = {"equalised": "equalized", "normalise_z": "normalize_z"}


def with_current_names(config: ConfigDict) -> ConfigDict:
    """A copy of `config` with the fields of version 0.1 replaced by the current ones."""

    def renamed(value: Any) -> Any:
        if isinstance(value, dict):
            return {RENAMED.get(k, k): renamed(v) for k, v in value.items()}
        return value

    current = renamed(config.to_dict())
    difgan = current.get("difgan")
    if isinstance(difgan, dict) and difgan.pop("saturating", False):
        current.setdefault("adversarial", {})["loss"] = "saturating"
    return ConfigDict(current)


def save_config(workdir: AnyPath, config: ConfigDict) -> None:
    """Write config.json to a run folder."""
    write_atomically(workdir / "config.json", json.dumps(config.to_dict(), indent=2) + "\n")


def read_config(workdir: AnyPath) -> ConfigDict:
    """Read config.json from a run folder.

    Base fields that an older config lacks get their defaults, and lists become tuples.

    Raises:
      UserError: the folder or its config.json is missing or damaged.
    """
    check_links(workdir)
    try:
        loaded = read_json(workdir / "config.json", {"method": TEXT}, folder=workdir)
    except FileNotFoundError:
        what = "has no config.json" if workdir.is_dir() else "does not exist"
        raise UserError(
            f"--workdir={workdir} {what}; train first: --config=FILE --workdir={workdir}"
        ) from None
    try:
        config = with_current_names(ConfigDict(_tuples(loaded)))
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # names it cannot have
        raise UserError(f"{workdir / 'config.json'} cannot be read: {described(error)}") from error
    if "ema_warmup" not in config:  # of a run from before the field, which had no warm-up
        config.ema_warmup = False
    return complete(config, BASE_FIELDS)


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def check_same_run(
    workdir: AnyPath,
    saved: ConfigDict,
    config: ConfigDict,
    fields: Fields,
    moved: Collection[str] = (),
) -> list[str]:
    """Check that a config may be used with the run in a folder, to resume or to load it.

    Args:
      workdir: the run folder, for messages.
      saved: complete config of the run.
      config: the new complete config.
      fields: declared fields of the new config; `Field.may_change` says which values may differ.
      moved: fields that name where something is, whose content is known to be the same.

    Returns:
      The changes, as "field: old -> new".

    Raises:
      UserError: a change that is not allowed: of the model, the data or the seed.
    """
    old, new = flatten(saved), flatten(config)
    changes = []
    names = sorted(old.keys() | new.keys(), key=lambda name: (name != "method", name))
    for name in names:  # fields that another method lacks come after the method
        before, after = old.get(name), new.get(name)
        if _plain(before) == _plain(after):
            continue
        if name not in moved and not (name in fields and fields[name].may_change):
            raise UserError(
                f"--workdir={workdir} holds a run with config.{name} = {before!r}, this config "
                f"has {after!r}; choose another --workdir for another run"
            )
        changes.append(f"{name}: {before!r} -> {after!r}")
    return changes


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
