"""Differentiable augmentation of what a discriminator sees (Zhao et al. 2020, arXiv 2006.10738).

With few images a discriminator remembers them. It is shown changed images instead, real and
generated ones alike, and the gradient of the generator passes through the changes:

  color        brightness x + b, saturation m_c + s (x - m_c) and contrast m + k (x - m), with
               the mean m_c over the channels of a pixel and the mean m of the image
  translation  a shift by whole pixels along each axis; 0 comes in at the borders
  cutout       0 in a square, whose center is any pixel

The published strengths are 1, 1/8 and 1/2. Images are in [-1, 1], so 0 is gray; they may leave that
range.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ddgan_jax.core.types import Array


class Augmentation(NamedTuple):
    """Strengths of the changes; 0: none.

    Attributes:
      color: c; b ~ U[-c/2, c/2], s ~ U[1 - c, 1 + c], k ~ U[1 - c/2, 1 + c/2].
      translation: largest shift as a share of height and width.
      cutout: side of the square as a share of height and width.
    """

    color: float = 0.0
    translation: float = 0.0
    cutout: float = 0.0


def augment(how: Augmentation, key: Array, *images: Array) -> tuple[Array, ...]:
    """Change images at random, each row of the batch with draws of its own.

    Args:
      how: the strengths. Without any, the images are returned as they are.
      key: typed PRNG key.
      *images: float32 `[B, H, W, C]` each. Row i of all of them, such as x_t and x_{t+1} of a pair,
        is changed by the same draws.

    Returns:
      Images of the same shapes.
    """
    count, height, width = images[0].shape[:3]
    key_color, key_shift, key_hole = (jax.random.fold_in(key, i) for i in range(3))
    if how.color:
        draws = jax.random.uniform(key_color, (3, count), minval=-1.0, maxval=1.0)
        images = tuple(_recolored(x, how.color * draws) for x in images)
    if how.translation:
        most = (_share(how.translation, height), _share(how.translation, width))
        shifts = _integers(key_shift, count, tuple((-m, m + 1) for m in most))
        images = tuple(_shifted(x, shifts, most) for x in images)
    if how.cutout:
        sides = (_share(how.cutout, height), _share(how.cutout, width))
        # With an even side the center is between pixels, also at the border after the last.
        ends = tuple((0, n + 1 - side % 2) for n, side in zip((height, width), sides, strict=True))
        centers = _integers(key_hole, count, ends)
        images = tuple(_cut_out(x, centers, sides) for x in images)
    return images


def _share(share: float, size: int) -> int:
    return int(share * size + 0.5)


def _integers(key: Array, count: int, ranges: tuple[tuple[int, int], ...]) -> tuple[Array, ...]:
    """For each range [low, high) integers drawn uniformly, int32 [count]."""
    return tuple(
        jax.random.randint(jax.random.fold_in(key, axis), (count,), low, high)
        for axis, (low, high) in enumerate(ranges)
    )


def _recolored(x: Array, draws: Array) -> Array:
    """Images with other brightness, saturation and contrast; `draws` [3, B] in [-c, c]."""
    b, s, k = (d[:, None, None, None] for d in draws)
    x = x + b / 2
    gray = jnp.mean(x, axis=3, keepdims=True)
    x = gray + (1 + s) * (x - gray)
    mean = jnp.mean(x, axis=(1, 2, 3), keepdims=True)
    result: Array = mean + (1 + k / 2) * (x - mean)
    return result


def _shifted(x: Array, shifts: tuple[Array, ...], most: tuple[int, ...]) -> Array:
    """Images moved down and to the right by whole pixels in [-most, most], zeros coming in.

    Each bit of the shift moves the images of the batch that have it, so that there are no gathers,
    whose gradients are slow on CPUs and not reproducible on GPUs.
    """
    for axis, (shift, m) in enumerate(zip(shifts, most, strict=True), start=1):
        size, start = x.shape[axis], m - shift  # first row of the result in the padded images
        room = (1 << (2 * m).bit_length()) - 1 - m  # the largest sum of bits, below
        padding = [(0, 0)] * x.ndim
        padding[axis] = (m, room)
        x = jnp.pad(x, padding)
        for bit in range((2 * m).bit_length()):
            length = x.shape[axis] - (1 << bit)
            kept = jax.lax.slice_in_dim(x, 0, length, axis=axis)
            moved = jax.lax.slice_in_dim(x, 1 << bit, None, axis=axis)
            has = (start >> bit) & 1 == 1
            x = jnp.where(has.reshape(-1, *[1] * (x.ndim - 1)), moved, kept)
        x = jax.lax.slice_in_dim(x, 0, size, axis=axis)
    return x


def _cut_out(x: Array, centers: tuple[Array, ...], sides: tuple[int, ...]) -> Array:
    """Images with zeros in a square, or in what of it is inside of the image."""
    rows, columns = (
        (jnp.arange(size) >= center[:, None] - side // 2)
        & (jnp.arange(size) < center[:, None] - side // 2 + side)
        for size, center, side in zip(x.shape[1:3], centers, sides, strict=True)
    )
    hole = rows[:, :, None, None] & columns[:, None, :, None]
    return jnp.where(hole, 0.0, x)
