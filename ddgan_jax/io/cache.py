"""The cache folder: statistics of data, encoded data, downloaded weights."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """$DDGAN_CACHE, or ~/.cache/ddgan_jax."""
    return Path(os.environ.get("DDGAN_CACHE") or Path.home() / ".cache" / "ddgan_jax").expanduser()
