"""FIR resampling with the normalized filter (1, 3, 3, 1) and zero padding; patches to pixels.

The filter is separable, so it is applied as sums of shifted arrays. These are written so that the
compilers for CPU and GPU make one loop of each function: `downsample` is one sum of 16 strided
slices, and `upsample` inserts zeros by padding. On TPUs images of up to `_SMALL` pixels are
resampled by a convolution of each channel instead, which takes a third of the cycles there; at 256
pixels it takes more (docs/accelerators.md).

Each function is the transpose of the other, up to a factor of 4, which is how their gradients are
computed, of any order.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ddgan_jax.core.types import Array

_TAPS = (0.125, 0.375, 0.375, 0.125)
_SMALL = 32  # height of the larger image


def _pad(x: Array, axis: int, before: int, after: int, between: int = 0) -> Array:
    widths = [(0, 0, 0)] * x.ndim
    widths[axis] = (before, after, between)
    return jax.lax.pad(x, jnp.zeros((), x.dtype), widths)


def _slice(x: Array, axis: int, start: int, length: int, stride: int = 1) -> Array:
    return jax.lax.slice_in_dim(x, start, start + stride * (length - 1) + 1, stride, axis)


def _blur_axis(x: Array, axis: int, padding: int = 2) -> Array:
    size = x.shape[axis] + 2 * padding - 3
    padded = _pad(x, axis, padding, padding)
    taps = [tap * _slice(padded, axis, k, size) for k, tap in enumerate(_TAPS)]
    return sum(taps[1:], taps[0])


@jax.custom_vjp
def downsample(x: Array) -> Array:
    """Filter and halve the resolution: [B, H, W, C] -> [B, H/2, W/2, C]; H and W are even.

    Along each axis y[i] = (x[2i-1] + 3 x[2i] + 3 x[2i+1] + x[2i+2]) / 8, with zeros outside.
    """
    return _by_platform(_downsample_as_convolution, _downsample_as_sum, x, x.shape[1])


def _downsample_as_sum(x: Array) -> Array:
    height, width = x.shape[1] // 2, x.shape[2] // 2
    padded = _pad(_pad(x, 1, 1, 1), 2, 1, 1)

    def filtered_row(k: int) -> Array:
        row = _slice(padded, 1, k, height, stride=2)
        taps = [tap * _slice(row, 2, j, width, stride=2) for j, tap in enumerate(_TAPS)]
        return sum(taps[1:], taps[0])

    rows = [tap * filtered_row(k) for k, tap in enumerate(_TAPS)]
    return sum(rows[1:], rows[0])


@jax.custom_vjp
def upsample(x: Array) -> Array:
    """Double the resolution and filter: [B, H, W, C] -> [B, 2H, 2W, C].

    Along each axis y[2i] = x[i-1]/4 + 3 x[i]/4 and y[2i+1] = 3 x[i]/4 + x[i+1]/4, with zeros
    outside.
    """
    return _by_platform(_upsample_as_convolution, _upsample_as_sum, x, 2 * x.shape[1])


def _upsample_as_sum(x: Array) -> Array:
    for axis in (1, 2):
        size = 2 * x.shape[axis]
        spread = _pad(x, axis, 2, 2, between=1)
        taps = [2 * tap * _slice(spread, axis, k, size) for k, tap in enumerate(_TAPS)]
        x = sum(taps[1:], taps[0])
    return x


def _by_platform(
    on_tpu: Callable[[Array], Array], elsewhere: Callable[[Array], Array], x: Array, height: int
) -> Array:
    if height > _SMALL:
        return elsewhere(x)
    result: Array = jax.lax.platform_dependent(x, tpu=on_tpu, default=elsewhere)
    return result


def _downsample_as_convolution(x: Array) -> Array:
    return _convolution_of_each_channel(x, strides=2, padding=1, between=1, gain=1.0)


def _upsample_as_convolution(x: Array) -> Array:
    return _convolution_of_each_channel(x, strides=1, padding=2, between=2, gain=4.0)


def _convolution_of_each_channel(
    x: Array, strides: int, padding: int, between: int, gain: float
) -> Array:
    """Filter x, with zeros on all sides and `between` - 1 between two pixels, times `gain`.

    The taps are exact in bfloat16; float32 is multiplied in full precision.
    """
    taps = jnp.asarray(_TAPS, x.dtype)
    kernel = gain * (taps[:, None] * taps)[:, :, None, None]
    result: Array = jax.lax.conv_general_dilated(
        x,
        jnp.broadcast_to(kernel, (4, 4, 1, x.shape[-1])),
        (strides, strides),
        ((padding, padding), (padding, padding)),
        lhs_dilation=(between, between),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
        precision=jax.lax.Precision.HIGHEST,
    )
    return result


downsample.defvjp(lambda x: (downsample(x), None), lambda _, dy: (upsample(dy) * 0.25,))
upsample.defvjp(lambda x: (upsample(x), None), lambda _, dy: (downsample(dy) * 4.0,))


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


def repeated(x: Array) -> Array:
    """Every pixel twice along both axes: [B, H, W, C] -> [B, 2H, 2W, C]."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
