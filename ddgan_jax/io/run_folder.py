"""The run folder: config.json, info.json, checkpoints/, metrics, samples/. All modes read it."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ddgan_jax.core.errors import UserError
from ddgan_jax.io.storage import AnyPath, locked


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


def save_info(workdir: AnyPath, info: Mapping[str, Any]) -> None:
    """Write info.json: what `data_shape` and people want to know without loading the data."""
    write_atomically(workdir / "info.json", json.dumps(info, indent=2) + "\n")


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
