"""The orthonormal Haar wavelet transform of images.

Each 2x2 block of pixels (a b / c d) becomes one value in each of four bands. Their names give low
(L) or high (H) frequency along height and width:

  LL = (a + b + c + d) / 2      LH = (a - b + c - d) / 2
  HL = (a + b - c - d) / 2      HH = (a - b - c + d) / 2

The 4x4 matrix of a block is orthogonal and symmetric, so it is its own inverse. The bands are
stacked along the channels: all channels of LL, then LH, HL, HH.

Several levels are wavelet packets: each level transforms every band, so that all bands have the
same size, [B, H, W, C] -> [B, H/2^n, W/2^n, 4^n C]. With b_k in {0..3} the band of level k, the
channel of the result is ((b_n 4 + b_{n-1}) 4 + ... + b_1) C + c.
"""

import jax.numpy as jnp

from ddgan_jax.core.types import Array


def dwt(x: Array, levels: int = 1) -> Array:
    """Transform images into bands.

    Args:
      x: images [B, H, W, C].
      levels: n; 2^n divides H and W.

    Returns:
      Bands [B, H/2^n, W/2^n, 4^n C].

    Raises:
      ValueError: 2^n does not divide H and W.
    """
    if x.shape[1] % 2**levels or x.shape[2] % 2**levels:
        raise ValueError(
            f"{levels} Haar levels need heights and widths that are multiples of {2**levels}, "
            f"got {x.shape[1]}x{x.shape[2]}"
        )
    for _ in range(levels):
        x = _forward(x)
    return x


def idwt(bands: Array, levels: int = 1) -> Array:
    """Transform bands back into images; the inverse of `dwt`.

    Args:
      bands: [B, h, w, 4^n C].
      levels: n.

    Returns:
      Images [B, 2^n h, 2^n w, C].

    Raises:
      ValueError: 4^n does not divide the number of channels.
    """
    if bands.shape[-1] % 4**levels:
        raise ValueError(
            f"{levels} Haar levels need a multiple of {4**levels} channels, got {bands.shape[-1]}"
        )
    for _ in range(levels):
        bands = _inverse(bands)
    return bands


def _butterfly(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, Array, Array, Array]:
    """Multiply (a, b, c, d) by the matrix of a block; halving is exact in floating point."""
    left, right, top, bottom = a + c, b + d, a - c, b - d
    return (
        (left + right) * 0.5,
        (left - right) * 0.5,
        (top + bottom) * 0.5,
        (top - bottom) * 0.5,
    )


def _forward(x: Array) -> Array:
    batch, height, width, channels = x.shape
    blocks = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    corners = (blocks[:, :, i, :, j] for i in (0, 1) for j in (0, 1))
    return jnp.concatenate(_butterfly(*corners), axis=-1)


def _inverse(bands: Array) -> Array:
    batch, height, width, channels = bands.shape
    a, b, c, d = _butterfly(*jnp.split(bands, 4, axis=-1))
    blocks = jnp.stack([jnp.stack([a, b], axis=3), jnp.stack([c, d], axis=3)], axis=2)
    return blocks.reshape(batch, 2 * height, 2 * width, channels // 4)
