"""Conversion of images between uint8 and floats, in numpy and JAX."""

import jax
import jax.numpy as jnp
import numpy as np

from ddgan_jax.core.images import to_float, to_uint8

ALL = np.arange(256, dtype=np.uint8)


def test_every_value_comes_back():
    floats = to_float(ALL)
    assert floats.dtype == np.float32 and isinstance(floats, np.ndarray)
    np.testing.assert_array_equal(floats, ALL.astype(np.float32) / np.float32(127.5) - 1)
    assert floats[0] == -1 and floats[-1] == 1
    np.testing.assert_array_equal(to_uint8(floats), ALL)


def test_jax_arrays_give_the_same_values_up_to_rounding():
    floats = to_float(jnp.asarray(ALL))
    assert isinstance(floats, jax.Array) and floats.dtype == jnp.float32
    np.testing.assert_allclose(floats, to_float(ALL), rtol=0, atol=1.2e-7)
    np.testing.assert_array_equal(to_uint8(floats), ALL)
    values = np.linspace(-1.5, 1.5, 1001, dtype=np.float32)
    stored = to_uint8(jnp.asarray(values))
    assert isinstance(stored, jax.Array) and stored.dtype == jnp.uint8
    np.testing.assert_array_equal(stored, to_uint8(values))


def test_values_outside_the_range_are_clipped():
    values = np.array([-3, -1, 0, 1, 7], np.float32)
    assert to_uint8(values).tolist() == [0, 0, 128, 255, 255]
    assert to_uint8(jnp.asarray(values)).tolist() == [0, 0, 128, 255, 255]
