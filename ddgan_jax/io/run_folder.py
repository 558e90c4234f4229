"""The run folder: config.json, info.json, checkpoints/, metrics, samples/."""

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
    """Write a file atomically: a temporary file replaces `path` on exit.

    Args:
      path: the file to write.
      writer: index of this process, if several processes may write the same path.

    Yields:
      The temporary path to write to; it is deleted on an error.
    """
    temporary = path.with_name(f".{path.stem}.tmp{writer or ''}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: AnyPath, text: str) -> None:
    """Write a text file completely or not at all, even if the process is killed."""
    if not isinstance(path, Path):  # object stores write atomically
        path.write_text(text)
        return
    with atomically(path) as temporary:
        temporary.write_text(text)


def check_writable(flag: str, folder: AnyPath) -> None:
    """Create the folder that `flag` names, and check that files can be written to it.

    Raises:
      UserError: it cannot be created or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / ".writable", "")
        (folder / ".writable").unlink()
    except OSError as error:
        raise UserError(
            f"{flag}={folder} cannot be written to: {error.strerror or error}; another folder is "
            "needed"
        ) from None


@contextlib.contextmanager
def claimed(workdir: AnyPath) -> Iterator[None]:
    """Create the run folder and lock it for training within the block.

    Raises:
      UserError: it cannot be created or written to, or another run has locked it.
    """
    check_writable("--workdir", workdir)
    with locked(workdir):
        check_writable("--workdir", workdir / "samples")
        yield


def save_info(workdir: AnyPath, info: Mapping[str, Any]) -> None:
    """Write info.json: facts about the run that are read without loading its data."""
    write_atomically(workdir / "info.json", json.dumps(info, indent=2) + "\n")


def data_shape(workdir: AnyPath) -> tuple[int, ...]:
    """The shape of one example of the run's training data, from info.json.

    Raises:
      UserError: info.json is missing or damaged.
    """
    path = workdir / "info.json"
    try:
        return tuple(json.loads(path.read_text())["data"]["shape"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error!r}): is this a run folder?") from None
