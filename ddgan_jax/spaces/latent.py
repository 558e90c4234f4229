"""Latent space: what a frozen autoencoder makes of images, scaled to about [-1, 1] (LDDGAN)."""

from typing import Any

import jax.numpy as jnp

from ddgan_jax.core.types import Array, PyTree, Space
from ddgan_jax.spaces.pixels import pixels


def latent(autoencoder: Any, image_shape: tuple[int, ...], shape: tuple[int, ...]) -> Space:
    """encode(x) = E(x) / scale, decode(z) = D(scale z) within [-1, 1]; E and D never train.

    Both look for the weights and the scale in `frozen`: {"autoencoder": its parameters, "scale":
    float32 scalar}. uint8 data are images; float32 data are latents already, as they are cached.

    Args:
      autoencoder: module with the methods `encode` and `decode`.
      image_shape: of one image.
      shape: of its latents.
    """
    images = pixels(image_shape)

    def encode(data: Array, frozen: PyTree) -> Array:
        if data.dtype == jnp.uint8:
            x = images.encode(data, frozen)
            data, _ = autoencoder.apply({"params": frozen["autoencoder"]}, x, method="encode")
        return data / frozen["scale"]

    def decode(x: Array, frozen: PyTree) -> Array:
        params = {"params": frozen["autoencoder"]}
        image = autoencoder.apply(params, x * frozen["scale"], method="decode")
        return jnp.clip(image, -1.0, 1.0)

    return Space(shape, encode, decode)
