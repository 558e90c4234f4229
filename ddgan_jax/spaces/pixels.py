"""Pixel space: images as they are, scaled to [-1, 1]; points pass unchanged."""

import jax.numpy as jnp

from ddgan_jax.core.types import Array, PyTree, Space


def pixels(shape: tuple[int, ...]) -> Space:
    """The identity space. uint8 images 0..255 become float32 x / 127.5 - 1; float32 data passes."""

    def encode(data: Array, frozen: PyTree) -> Array:
        del frozen
        if data.dtype == jnp.uint8:
            return data.astype(jnp.float32) / 127.5 - 1
        return data.astype(jnp.float32)

    def decode(x: Array, frozen: PyTree) -> Array:
        del frozen
        return x

    return Space(shape, encode, decode)
