"""Pixel space: images scaled to [-1, 1], points unchanged."""

import jax.numpy as jnp
from ml_collections import ConfigDict

from ddgan_jax.config.fields import text
from ddgan_jax.core.images import to_float
from ddgan_jax.core.types import Array, PyTree, Shape, Space
from ddgan_jax.spaces.entry import SpaceEntry

KIND = text(
    "pixels",
    help="pixels, wavelet (Haar bands), latent (of an autoencoder) or pca (principal components)",
)


def pixels(shape: Shape) -> Space:
    """Pixel space. `encode` maps uint8 images to [-1, 1] and casts other data to float32.

    Args:
      shape: shape of one example of the data: (H, W, C) of an image, (D,) of a point.
    """

    def encode(data: Array, frozen: PyTree) -> Array:
        del frozen
        if data.dtype == jnp.uint8:
            return to_float(data)
        return data.astype(jnp.float32)

    def decode(x: Array, frozen: PyTree) -> Array:
        del frozen
        return x

    def same(x: Array) -> Array:
        return x

    return Space(shape, encode, decode, as_images=(same, same) if len(shape) == 3 else None)


def _from_config(config: ConfigDict, shape: Shape) -> Space:
    del config
    return pixels(shape)


SPACE = SpaceEntry(_from_config, {"space.kind": KIND})
