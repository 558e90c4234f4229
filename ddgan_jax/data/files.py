"""Files that the user names: `~` is expanded, and only regular files are opened."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from ddgan_jax.core.errors import UserError


def expand(path: str | os.PathLike[str]) -> Path:
    """The path with `~` replaced by the home folder.

    Raises:
      UserError: the home folder of the named user is not known.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{path}: the home folder is not known; a full path is needed") from None


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading.

    Opening a named pipe would wait for a writer, and a device may never end; both are refused.

    Raises:
      FileNotFoundError: there is no such file.
      UserError: the path names something else than a regular file.
    """
    # O_NONBLOCK, so that opening a named pipe returns at once.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{path} is not a regular file; a regular file is needed")
    return os.fdopen(descriptor, "rb")


def printable(path: str | os.PathLike[str]) -> str:
    r"""The path as text that can be printed; bytes that are not UTF-8 become `\xNN`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
