"""Wavelet space: Haar bands on channels, scaled to [-1, 1] (WDDGAN, Phung et al. 2023)."""

import jax.numpy as jnp

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Array, PyTree, Space
from ddgan_jax.diffusion.haar import dwt, idwt
from ddgan_jax.spaces.pixels import pixels


def wavelet(shape: tuple[int, ...], levels: int) -> Space:
    """The bands of `haar.dwt`, each divided by 2 for every level: means and differences of pixels.

    One level: [H, W, C] -> [H/2, W/2, 4 C], LL, LH, HL, HH. Pixels in [-1, 1] give bands in
    [-1, 1] at any number of levels, and LL is the mean of a block. The other way round it is not
    so: bands in [-1, 1] can stand for pixels beyond, which `decode` clips.

    Args:
      shape: [H, W, C] of an image.
      levels: how often every band is split; 2^levels divides H and W.

    Raises:
      UserError: no image, or a size that 2^levels does not divide.
    """
    if len(shape) != 3:
        raise UserError(f"config.space.kind is 'wavelet', which needs images; data are {shape}")
    height, width, channels = shape
    block = 2**levels
    if height % block or width % block:
        raise UserError(
            f"config.space.levels is {levels}; images of {height}x{width} cannot be halved so "
            f"often, multiples of {block} are needed (config.data.image_size)"
        )
    images = pixels(shape)

    def encode(data: Array, frozen: PyTree) -> Array:
        return dwt(images.encode(data, frozen), levels) * 0.5**levels

    def decode(x: Array, frozen: PyTree) -> Array:
        return images.decode(jnp.clip(idwt(x, levels) * 2.0**levels, -1, 1), frozen)

    return Space((height // block, width // block, channels * 4**levels), encode, decode)
