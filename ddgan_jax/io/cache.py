"""The cache folder: statistics of data sets, encoded data, converted weights."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder of cached results: $DDGAN_CACHE, or ~/.cache/ddgan_jax if that is not set."""
    return Path(os.environ.get("DDGAN_CACHE") or Path.home() / ".cache" / "ddgan_jax").expanduser()
