"""Files that the user names; only regular files are opened."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from ddgan_jax.core.errors import UserError
from ddgan_jax.io.storage import local_path as expand
from ddgan_jax.io.storage import printable

__all__ = ["expand", "open_regular", "printable"]


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
