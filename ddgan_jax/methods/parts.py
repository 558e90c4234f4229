"""DDGAN's networks for methods that tell them less: no latent, no x_{t+1}."""

from typing import Any

import jax.numpy as jnp

from ddgan_jax.types import Array, Params


def no_latent(count: int) -> Array:
    """[B, 1], the same for all samples: what a generator makes of it are learned constants."""
    return jnp.ones((count, 1))


def judge_one(discriminator: Any, params: Params, x: Array, t: Array) -> Array:
    """D(x, t) [B]: the discriminator of pairs, with a second image that has no channels."""
    return discriminator.apply({"params": params["disc"]}, x, t, x[..., :0])


def init_judge_one(discriminator: Any, key: Array, x: Array) -> Any:
    """Parameters for `judge_one` from a typed key and an example [B, ...]."""
    return discriminator.init(key, x, jnp.zeros(x.shape[0], jnp.int32), x[..., :0])["params"]
