"""The run folder: config.json, info.json, checkpoints/, metrics, samples/."""

import contextlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ddgan_jax.core.errors import UserError
from ddgan_jax.io.read_json import COUNT, COUNTS, NAMES, SHAPE, TEXT, read_json
from ddgan_jax.io.storage import AnyPath, check_links, locked


@contextlib.contextmanager
def atomically(path: Path) -> Iterator[Path]:
    """Write a file atomically: a temporary file replaces `path` on exit.

    The temporary file is new and has a random name, so several processes may write the same path,
    and a link that someone placed in the folder is not followed.

    Args:
      path: the file to write; a link is replaced, not followed.

    Yields:
      The path of the temporary file, which is empty; it is deleted on an error.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp{path.suffix}")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY, 0o666))
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
    with atomically(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())  # else a power cut may leave an empty file under the new name


def check_writable(flag: str, folder: AnyPath) -> None:
    """Create the folder that `flag` names, and check that files can be written to it.

    Raises:
      UserError: it cannot be created or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(folder, Path):
            with tempfile.NamedTemporaryFile(dir=folder, prefix="."):
                pass
        else:
            (folder / ".writable").write_text("")
            (folder / ".writable").unlink()
    except OSError as error:
        raise UserError(
            f"{flag}={folder} cannot be written to: {error.strerror or error}; another folder is "
            "needed"
        ) from None


@contextlib.contextmanager
def emptied_on_failure(folder: AnyPath) -> Iterator[None]:
    """Within the block a new folder is written; if that fails or is interrupted, it is removed.

    Args:
      folder: does not exist, or is empty, and stays if it existed.
    """
    existed = folder.exists()
    try:
        yield
    except BaseException:
        if isinstance(folder, Path):
            for entry in folder.iterdir() if folder.is_dir() else ():
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink()
            if folder.is_dir() and not existed:
                with contextlib.suppress(OSError):
                    folder.rmdir()
        raise


@contextlib.contextmanager
def claimed(workdir: AnyPath) -> Iterator[Callable[[], None]]:
    """Create the run folder and lock it for training within the block.

    Yields:
      A function to call before saving, see `storage.locked`.

    Raises:
      UserError: it cannot be created or written to, has links out of it, or another run has locked
        it.
    """
    check_writable("--workdir", workdir)
    check_links(workdir)
    with locked(workdir) as keep:
        check_writable("--workdir", workdir / "samples")
        yield keep


def save_info(workdir: AnyPath, info: Mapping[str, Any]) -> None:
    """Write info.json: facts about the run that are read without loading its data."""
    write_atomically(workdir / "info.json", json.dumps(info, indent=2) + "\n")


def read_info(workdir: AnyPath) -> dict[str, Any]:
    """Read info.json.

    Raises:
      UserError: it is missing or damaged.
    """
    path = workdir / "info.json"
    optional = {
        "method": TEXT,
        "parameters": COUNTS,
        "data.name": TEXT,
        "data.examples": COUNT,
        "data.hash": TEXT,
        "autoencoder": TEXT,
        **{"init_from.folder": TEXT, "init_from.step": COUNT, "init_from.weights": TEXT},
        **{"converted.networks": NAMES, "converted.optimizers": NAMES},
        **{f"converted.{name}": TEXT for name in ("source", "file", "weights", "holds", "bands")},
    }
    try:
        return read_json(path, {"data.shape": SHAPE}, optional, workdir)
    except FileNotFoundError:
        raise UserError(f"{path} cannot be read, it is missing: is this a run folder?") from None


def data_shape(workdir: AnyPath) -> tuple[int, ...]:
    """The shape of one example of the run's training data, from info.json.

    Raises:
      UserError: info.json is missing or damaged.
    """
    return tuple(read_info(workdir)["data"]["shape"])


def has_checkpoint(workdir: AnyPath) -> bool:
    """Whether the run folder has a complete checkpoint, also a damaged one.

    A folder without one, of a run that was killed during compilation, has nothing to protect.
    """
    folders = (workdir / "checkpoints", workdir / "damaged")
    return any(
        path.name.partition(".")[0].isdecimal()
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
        if "tmp" not in path.name
    )
