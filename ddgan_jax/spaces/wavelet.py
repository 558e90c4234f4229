"""Wavelet space: Haar bands stacked on channels, scaled to [-1, 1] (WDDGAN, Phung et al. 2023)."""

import jax.numpy as jnp
from ml_collections import ConfigDict

from ddgan_jax.config.fields import integer
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Array, PyTree, Shape, Space
from ddgan_jax.diffusion.haar import dwt, idwt
from ddgan_jax.spaces.entry import SpaceEntry
from ddgan_jax.spaces.pixels import KIND, pixels


def wavelet(shape: Shape, levels: int) -> Space:
    """Wavelet space: encode(x) = dwt(x) / 2^levels, decode(y) = clip(idwt(2^levels y), -1, 1).

    One level maps [H, W, C] to [H/2, W/2, 4 C], in the order LL, LH, HL, HH. With the factor
    1/2 per level, pixels in [-1, 1] have bands in [-1, 1], and LL is the mean of a block. Bands in
    [-1, 1] may decode to pixels outside [-1, 1], which `decode` clips.

    Args:
      shape: (H, W, C) of an image.
      levels: number of levels; every level splits all bands of the one before.

    Raises:
      UserError: the data are not images, or H or W is not a multiple of 2^levels.
    """
    if len(shape) != 3:
        raise UserError(
            f"config.space.kind is 'wavelet' and data have shape {shape}; images are needed"
        )
    height, width, channels = shape
    block = 2**levels
    if height % block or width % block:
        raise UserError(
            f"config.space.levels is {levels} and images are {height}x{width}; multiples of "
            f"{block} are needed (config.data.image_size)"
        )
    images = pixels(shape)

    def to_bands(x: Array) -> Array:
        return dwt(x, levels) * 0.5**levels

    def to_images(x: Array) -> Array:
        return idwt(x, levels) * 2.0**levels

    def encode(data: Array, frozen: PyTree) -> Array:
        return to_bands(images.encode(data, frozen))

    def decode(x: Array, frozen: PyTree) -> Array:
        return images.decode(jnp.clip(to_images(x), -1, 1), frozen)

    bands = (height // block, width // block, channels * 4**levels)
    return Space(bands, encode, decode, as_images=(to_images, to_bands))


def _from_config(config: ConfigDict, shape: Shape) -> Space:
    return wavelet(shape, config.space.levels)


SPACE = SpaceEntry(
    _from_config,
    {"space.kind": KIND, "space.levels": integer(1, 1, 16, help="levels of the Haar transform")},
)
