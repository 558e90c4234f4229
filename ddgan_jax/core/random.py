"""Random numbers that belong to samples: each sample has a key of its own."""

import jax
import numpy as np

from ddgan_jax.core.types import Array, Shape


def per_sample_normal(keys: Array, step: int | Array, use: int, shape: Shape) -> Array:
    """Standard normal float32 [B, *shape]; row i is a function of (keys[i], step, use) only."""

    def draw(key: Array) -> Array:
        return jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, step), use), shape)

    return jax.vmap(draw)(keys)


def sample_keys(key: Array, start: int, count: int) -> Array:
    """Typed keys [count] of the samples start..start+count-1 of a run of samples from `key`."""
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(np.arange(start, start + count))


def first_keys(keys: Array) -> Array:
    """The key of the first sample of each of `keys` [B]: `fold_in(keys[i], 0)`, typed keys [B]."""
    return jax.vmap(lambda key: jax.random.fold_in(key, 0))(keys)
