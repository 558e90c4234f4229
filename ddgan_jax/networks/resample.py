"""FIR resampling with the normalized filter (1, 3, 3, 1) and zero padding, and folding of pixels.

The filter is separable, so it is applied as sums of shifted arrays along each axis. On CPU this is
more than ten times as fast as a grouped convolution, including its gradients.
"""

import jax.numpy as jnp

from ddgan_jax.core.types import Array

_TAPS = (0.125, 0.375, 0.375, 0.125)


def _pad(x: Array, axis: int, before: int, after: int) -> Array:
    widths = [(0, 0)] * x.ndim
    widths[axis] = (before, after)
    return jnp.pad(x, widths)


def _slice(x: Array, axis: int, start: int, length: int) -> Array:
    index = [slice(None)] * x.ndim
    index[axis] = slice(start, start + length)
    return x[tuple(index)]


def _downsample_axis(x: Array, axis: int) -> Array:
    half = x.shape[axis] // 2
    padded = _pad(x, axis, 1, 1)  # pair i is (x[2i-1], x[2i])
    pairs = padded.reshape((*x.shape[:axis], half + 1, 2, *x.shape[axis + 1 :]))
    odd_x = jnp.take(pairs, 0, axis=axis + 1)
    even_x = jnp.take(pairs, 1, axis=axis + 1)
    outer = _slice(odd_x, axis, 0, half) + _slice(even_x, axis, 1, half)
    inner = _slice(even_x, axis, 0, half) + _slice(odd_x, axis, 1, half)
    return _TAPS[0] * outer + _TAPS[1] * inner


def _upsample_axis(x: Array, axis: int) -> Array:
    size = x.shape[axis]
    padded = _pad(x, axis, 1, 1)
    before, after = _slice(padded, axis, 0, size), _slice(padded, axis, 2, size)
    pairs = jnp.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis=axis + 1)
    return pairs.reshape((*x.shape[:axis], 2 * size, *x.shape[axis + 1 :]))


def _blur_axis(x: Array, axis: int, padding: int = 2) -> Array:
    size = x.shape[axis] + 2 * padding - 3
    padded = _pad(x, axis, padding, padding)
    taps = [tap * _slice(padded, axis, k, size) for k, tap in enumerate(_TAPS)]
    return sum(taps[1:], taps[0])


def downsample(x: Array) -> Array:
    """Filter and halve the resolution: [B, H, W, C] -> [B, H/2, W/2, C]; H and W are even.

    Along each axis y[i] = (x[2i-1] + 3 x[2i] + 3 x[2i+1] + x[2i+2]) / 8, with zeros outside.
    """
    return _downsample_axis(_downsample_axis(x, 1), 2)


def upsample(x: Array) -> Array:
    """Double the resolution and filter: [B, H, W, C] -> [B, 2H, 2W, C].

    Along each axis y[2i] = x[i-1]/4 + 3 x[i]/4 and y[2i+1] = 3 x[i]/4 + x[i+1]/4, with zeros
    outside.
    """
    return _upsample_axis(_upsample_axis(x, 1), 2)


def blur(x: Array) -> Array:
    """Filter with two zeros of padding on each side: [B, H, W, C] -> [B, H+1, W+1, C].

    A 3x3 convolution of stride 2 without padding then gives [B, H/2, W/2, ...].
    """
    return _blur_axis(_blur_axis(x, 1), 2)


def smooth(x: Array) -> Array:
    """Filter with one zero of padding on each side and gain 4: [B, H, W, C] -> [B, H-1, W-1, C].

    It follows a transposed 3x3 convolution of stride 2, [B, H, W, C] -> [B, 2H+1, 2W+1, C].
    """
    return 4 * _blur_axis(_blur_axis(x, 1, 1), 2, 1)


def fold(x: Array, size: int) -> Array:
    """Move squares of size x size pixels into channels; `unfold` is the inverse.

    Args:
      x: [B, H, W, C]; H and W are multiples of `size`.
      size: height and width of a square; 1 returns x.

    Returns:
      [B, H/size, W/size, size size C]; channel (i size + j) C + c is channel c of pixel (i, j) of
      the square.
    """
    batch, height, width, channels = x.shape
    h, w = height // size, width // size
    squares = x.reshape(batch, h, size, w, size, channels).transpose(0, 1, 3, 2, 4, 5)
    return squares.reshape(batch, h, w, size * size * channels)


def unfold(x: Array, size: int) -> Array:
    """The inverse of `fold`: [B, h, w, size size C] -> [B, size h, size w, C]."""
    batch, height, width, channels = x.shape
    squares = x.reshape(batch, height, width, size, size, channels // (size * size))
    return squares.transpose(0, 1, 3, 2, 4, 5).reshape(batch, size * height, size * width, -1)
