"""Wavelet space: Haar bands stacked on channels (WDDGAN, Phung et al. 2023)."""

import jax.numpy as jnp
from ml_collections import ConfigDict

from ddgan_jax.config.fields import integer, number
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Array, PyTree, Shape, Space
from ddgan_jax.diffusion.haar import dwt, idwt
from ddgan_jax.spaces.entry import SpaceEntry, check_unbounded
from ddgan_jax.spaces.pixels import KIND, pixels

PUBLISHED_SCALE = 2.0


def wavelet(shape: Shape, levels: int, scale: float = PUBLISHED_SCALE) -> Space:
    """Haar bands: encode(x) = dwt(x) / scale^levels, decode(y) = clip(idwt(scale^levels y), -1, 1).

    One level maps [H, W, C] to [H/2, W/2, 4 C], in the order LL, LH, HL, HH. With the published
    scale of 2, pixels in [-1, 1] have bands in [-1, 1], LL is the mean of a block, and the root
    mean square of the bands is half that of the pixels. With a scale of 1 both are equal, and so
    are the signal-to-noise ratios of diffused bands and pixels.

    Args:
      shape: (H, W, C) of an image.
      levels: number of levels; every level splits all bands of the one before.
      scale: divisor of the orthonormal bands, per level; positive.

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
        return dwt(x, levels) * (1 / scale) ** levels

    def to_images(x: Array) -> Array:
        return idwt(x, levels) * scale**levels

    def encode(data: Array, frozen: PyTree) -> Array:
        return to_bands(images.encode(data, frozen))

    def decode(x: Array, frozen: PyTree) -> Array:
        return images.decode(jnp.clip(to_images(x), -1, 1), frozen)

    bands = (height // block, width // block, channels * 4**levels)
    return Space(bands, encode, decode, as_images=(to_images, to_bands))


def _from_config(config: ConfigDict, shape: Shape) -> Space:
    scale = config.space.get("scale", PUBLISHED_SCALE)
    if scale < PUBLISHED_SCALE:
        check_unbounded(config, f"with config.space.scale={scale} (bands reach beyond 1)")
    return wavelet(shape, config.space.levels, scale)


SPACE = SpaceEntry(
    _from_config,
    {
        "space.kind": KIND,
        "space.levels": integer(1, 1, 16, help="levels of the Haar transform"),
        "space.scale": number(
            PUBLISHED_SCALE,
            0.125,
            16,
            help="divisor of the orthonormal bands, per level; 2: bands of images are in [-1, 1], "
            "as published; 1: bands are as large as pixels, which needs gen.tanh=false",
        ),
    },
)
