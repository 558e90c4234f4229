"""The Haar transform of images: four bands of half the size, orthogonal.

Every 2x2 block of pixels (a b / c d) becomes one value in each of four bands, named by what is low
and high along height and width (Haar 1910; Mallat 1989):

  LL = (a + b + c + d) / 2      LH = (a - b + c - d) / 2
  HL = (a + b - c - d) / 2      HH = (a - b - c + d) / 2

The matrix of a block is symmetric and its own inverse, so the transform keeps the energy and its
inverse is its adjoint. Bands lie on channels: first all of LL, then LH, HL, HH.

More than one level are wavelet packets: every band is transformed again, not LL alone, so that all
bands keep one size and can lie on channels: [B, H, W, C] -> [B, H/2^n, W/2^n, 4^n C]. The band of
the last level comes first: channel ((b_n 4 + b_{n-1}) ... 4 + b_1) C + c.
"""

import jax.numpy as jnp

from ddgan_jax.core.types import Array


def dwt(x: Array, levels: int = 1) -> Array:
    """Images [B, H, W, C] -> orthonormal bands [B, H/2^levels, W/2^levels, 4^levels C].

    Raises:
      ValueError: 2^levels does not divide H and W.
    """
    if x.shape[1] % 2**levels or x.shape[2] % 2**levels:
        raise ValueError(
            f"{levels} Haar levels need heights and widths that {2**levels} divides, "
            f"got {x.shape[1]}x{x.shape[2]}"
        )
    for _ in range(levels):
        x = _forward(x)
    return x


def idwt(bands: Array, levels: int = 1) -> Array:
    """The inverse of `dwt`: [B, h, w, 4^levels C] -> [B, 2^levels h, 2^levels w, C].

    Raises:
      ValueError: 4^levels does not divide the channels.
    """
    if bands.shape[-1] % 4**levels:
        raise ValueError(
            f"{levels} Haar levels need channels that {4**levels} divides, got {bands.shape[-1]}"
        )
    for _ in range(levels):
        bands = _inverse(bands)
    return bands


def _butterfly(a: Array, b: Array, c: Array, d: Array) -> tuple[Array, Array, Array, Array]:
    """The 4x4 orthogonal matrix above, its own inverse; halving is exact in floating point."""
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
