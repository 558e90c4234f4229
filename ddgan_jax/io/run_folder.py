"""The run folder: config.json, info.json, checkpoints/, metrics, samples/. All modes read it."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ddgan_jax.config.base import LATER, base, flatten
from ddgan_jax.core.errors import UserError
from ddgan_jax.io.storage import AnyPath, locked

# What may change when a run goes on; everything else is what the run is.
MAY_CHANGE = ("optim.", "train.", "sample.", "sampler.", "eval.", "data.dir")
MUST_STAY = ("train.batch_size", "train.accumulate")


@contextlib.contextmanager
def atomically(path: Path, writer: int = 0) -> Iterator[Path]:
    """A file to write instead of `path`; takes its place in the end, or disappears on an error.

    `writer`: which process this is, where several may write the same path.
    """
    temporary = path.with_name(f".{path.stem}.tmp{writer or ''}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: AnyPath, text: str) -> None:
    """Write `path` whole or not at all, whenever the process dies."""
    if not isinstance(path, Path):  # objects in a store always appear whole
        path.write_text(text)
        return
    with atomically(path) as temporary:
        temporary.write_text(text)


def check_writable(flag: str, folder: AnyPath) -> None:
    """Make the folder that `flag` names, and see that it can be written to.

    Raises:
      UserError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / ".writable", "")
        (folder / ".writable").unlink()
    except OSError as error:
        raise UserError(
            f"{flag}={folder} cannot be written to: {error.strerror or error}; choose another "
            "folder"
        ) from None


@contextlib.contextmanager
def claimed(workdir: AnyPath) -> Iterator[None]:
    """Make the run folder; within the block nobody else trains in it.

    Raises:
      UserError: it cannot be made or written to, or another run has it.
    """
    check_writable("--workdir", workdir)
    with locked(workdir):
        check_writable("--workdir", workdir / "samples")
        yield


def save_config(workdir: AnyPath, config: ConfigDict) -> None:
    """Write the resolved config."""
    write_atomically(workdir / "config.json", json.dumps(config.to_dict(), indent=2) + "\n")


def save_info(workdir: AnyPath, info: Mapping[str, Any]) -> None:
    """Write info.json: what `data_shape` and people want to know without loading the data."""
    write_atomically(workdir / "info.json", json.dumps(info, indent=2) + "\n")


def load_config(workdir: AnyPath) -> ConfigDict:
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
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path} cannot be read, it is damaged: {error}") from None
    if not isinstance(loaded, dict):
        raise UserError(f"{path} cannot be read: it holds no config")
    defaults = base().to_dict() | LATER.get(str(loaded.get("method")), {})
    config = _with_defaults(_tuples(loaded), defaults)
    if config.get("space", {}).get("kind") == "latent":
        config["space"].setdefault("unit", "largest")  # as it was before there was a choice
    return ConfigDict(config)


def _with_defaults(config: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """With the fields that every config has today and that an older run folder may lack."""
    for name, default in defaults.items():
        if isinstance(default, Mapping):
            config[name] = _with_defaults(config.get(name, {}), default)
        else:
            config.setdefault(name, default)
    return config


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def check_same_run(workdir: AnyPath, config: ConfigDict) -> list[str]:
    """Compare with the run folder's config, if it has one.

    Returns:
      The changes that are allowed when a run goes on, as "field: old -> new".

    Raises:
      UserError: the folder holds a run of another model, data or seed.
    """
    if not (workdir / "config.json").exists():
        if (workdir / "checkpoints").is_dir() and any((workdir / "checkpoints").iterdir()):
            raise UserError(
                f"--workdir={workdir} has checkpoints but no config.json to tell whose they are; "
                "choose another --workdir"
            )
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


def data_shape(workdir: AnyPath) -> tuple[int, ...]:
    """The shape of one example of the data that the run was trained on, from info.json.

    Raises:
      UserError: info.json is missing or damaged.
    """
    path = workdir / "info.json"
    try:
        return tuple(json.loads(path.read_text())["data"]["shape"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error!r}): is this a run folder?") from None
