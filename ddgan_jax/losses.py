"""Adversarial losses and gradient penalties, in float32."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ddgan_jax.types import Array


def discriminator_loss(real: Array, fake: Array) -> Array:
    """Mean of softplus(-D(real)) + softplus(D(fake)); 2 log 2 when D knows nothing."""
    return jnp.mean(jax.nn.softplus(-real)) + jnp.mean(jax.nn.softplus(fake))


def generator_loss(fake: Array) -> Array:
    """Non-saturating loss, mean of softplus(-D(fake)) (Goodfellow et al. 2014); log 2 at first."""
    return jnp.mean(jax.nn.softplus(-fake))


def r1_penalty(discriminator: Callable[[Array], Array], x: Array) -> Array:
    """Mean over the batch of ||d D(x) / d x||^2 (Mescheder et al. 2018), unweighted.

    `discriminator` maps [B, ...] to [B]. The gradient is that of the sum over the batch, so terms
    that reach across samples (minibatch standard deviation) count as in the published code.
    """
    gradient = jax.grad(lambda y: jnp.sum(discriminator(y)))(x)
    return jnp.mean(jnp.sum(jnp.square(gradient), axis=tuple(range(1, x.ndim))))
