"""Bilinear resizing of the images of feature networks.

Positions are computed in float64. `jax.image.resize` computes them in float32, so that its results
differ by 2e-6 at 28 pixels and by 6e-5 at 1,000, and at 299 pixels are not quite the images.
"""

import jax.numpy as jnp
import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Array


def _interpolated(x: Array, axis: int, positions: np.ndarray) -> Array:
    """x at `positions` of an axis, linearly; positions beyond the pixels are clamped to them."""
    last = x.shape[axis] - 1
    positions = np.clip(positions, 0, last)
    low = np.floor(positions).astype(np.int32)
    shape = [1] * x.ndim
    shape[axis] = len(positions)
    share = jnp.asarray((positions - low).reshape(shape), x.dtype)
    high = jnp.take(x, np.minimum(low + 1, last), axis=axis)
    return jnp.take(x, low, axis=axis) * (1 - share) + high * share


def resize_bilinear(images: Array, size: int) -> Array:
    """Resize images with half-pixel centers and without antialiasing.

    Output pixel i is at (i + 1/2) n / size - 1/2 of n input pixels, a mean of at most four of them,
    also when shrinking. Equal to PyTorch's `interpolate(mode="bilinear", align_corners=False)`.

    Args:
      images: float32 [B, H, W, C].
      size: height and width of the result.

    Returns:
      float32 [B, size, size, C].
    """
    for axis in (1, 2):
        centers = (np.arange(size) + 0.5) * (images.shape[axis] / size) - 0.5
        images = _interpolated(images, axis, centers)
    return images


def resize_bilinear_tf1(images: Array, size: int) -> Array:
    """`resize_bilinear` of TensorFlow 1: output pixel i is at i n / size of n input pixels.

    So the first pixels, not the borders, coincide. Arguments and result as in `resize_bilinear`.
    """
    for axis in (1, 2):
        images = _interpolated(images, axis, np.arange(size) * (images.shape[axis] / size))
    return images


def check_uint8_images(images: Array, network: str) -> None:
    """Raise a UserError unless images are uint8 [B, H, W, 3]."""
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != jnp.uint8:
        raise UserError(
            f"images for {network} are {images.dtype} {images.shape}; uint8 [B, H, W, 3] is needed"
        )
