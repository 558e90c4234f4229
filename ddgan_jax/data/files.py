"""Files that the user names; only regular files are opened."""

from ddgan_jax.io.storage import local_path as expand
from ddgan_jax.io.storage import open_regular, printable

__all__ = ["expand", "open_regular", "printable"]
