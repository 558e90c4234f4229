"""Conversion of images between uint8 in 0..255 and float32 in [-1, 1]."""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Images = TypeVar("Images", np.ndarray, jax.Array)


def to_float(images: Images) -> Images:
    """Map uint8 images to float32 in [-1, 1]: x / 127.5 - 1.

    XLA divides by multiplying with the reciprocal, so JAX and numpy differ by at most 1.2e-7.

    Args:
      images: uint8 of any shape, a numpy or a JAX array.

    Returns:
      float32 of the same shape, an array of the same library.
    """
    return images.astype(np.float32) / 127.5 - 1


def to_uint8(images: Images) -> Images:
    """Map images in [-1, 1] to uint8: clip(round((x + 1) * 127.5), 0, 255).

    The inverse of `to_float`; halves are rounded to the nearest even integer.

    Args:
      images: floats of any shape, a numpy or a JAX array; values outside [-1, 1] are clipped.

    Returns:
      uint8 of the same shape, an array of the same library.
    """
    if isinstance(images, jax.Array):
        return jnp.clip(jnp.round((images + 1) * 127.5), 0, 255).astype(jnp.uint8)
    return np.clip(np.round((images + 1) * 127.5), 0, 255).astype(np.uint8)
