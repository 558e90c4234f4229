"""Cached latents whose header names an absurd size are refused before they are mapped."""

import numpy as np
import pytest

from ddgan_jax.core.errors import UserError
from ddgan_jax.spaces import latent_cache


def test_headers(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((3, 2), np.float32))
    assert latent_cache._header(path) == ("float32", (3, 2))
    with path.open("wb") as file:  # the product overflows, of which NumPy's mapping warns
        array = {"descr": "|u1", "fortran_order": False, "shape": (2**31, 2**32)}
        np.lib.format.write_array_header_1_0(file, array)
    assert latent_cache._header(path) == ("uint8", (2**31, 2**32))
    path.write_bytes(b"")
    with pytest.raises(ValueError):
        latent_cache._header(path)
    with pytest.raises(UserError, match="not a regular file"):
        latent_cache._header(tmp_path)
