"""The cache folder: statistics of data sets, encoded data, converted weights."""

import os
from pathlib import Path

from ddgan_jax.core.errors import UserError
from ddgan_jax.io.storage import local_path


def cache_folder() -> Path:
    """The folder of cached results: $DDGAN_CACHE, or ~/.cache/ddgan_jax if that is not set.

    Raises:
      UserError: neither the variable is set nor the home folder known.
    """
    if given := os.environ.get("DDGAN_CACHE"):
        return local_path(given)
    try:
        if os.environ.get("HOME") == "":  # which Python takes for "/"
            raise RuntimeError
        return Path.home() / ".cache" / "ddgan_jax"
    except RuntimeError:
        raise UserError(
            "the home folder is not known, so nothing can be cached; HOME=FOLDER or "
            "DDGAN_CACHE=FOLDER is needed"
        ) from None
