"""Adversarial and reconstruction losses and gradient penalties, in float32."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ddgan_jax.core.optimizers import epoch_of
from ddgan_jax.core.types import Array


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


def reconstruction_loss(real: Array, fake: Array) -> Array:
    """L1: the mean of |real - fake| over all values of all samples."""
    return jnp.mean(jnp.abs(real - fake))


def constant_weight(weight: float) -> Callable[[Array], Array]:
    """Step int32 -> float32 `weight`, always the same."""
    return lambda step: jnp.full_like(step, weight, jnp.float32)


def fading_weight(
    weight: float, delta: float, total_steps: int, steps_per_epoch: int
) -> Callable[[Array], Array]:
    """Step int32 -> float32 weight (1 - 1 / (1 + exp(-phi))), phi = -delta + 2 delta e / E.

    The weighted learning of LDDGAN (Trinh, Hamagami 2024, arXiv 2406.11713), e = step //
    steps_per_epoch of E epochs: from nearly `weight` through half of it to nearly 0. The paper
    prints phi = -delta + delta e / E, which would end at the half; its text and figure say 0.
    """

    def schedule(step: Array) -> Array:
        epoch, epochs = epoch_of(step, total_steps, steps_per_epoch)
        return weight * jax.nn.sigmoid(delta - 2 * delta * epoch / epochs)

    return schedule


def hinge_loss(real: Array, fake: Array) -> Array:
    """Mean of relu(1 - D(real)) + relu(1 + D(fake)), halved (Lim and Ye 2017); 1 at D = 0."""
    return 0.5 * (jnp.mean(jax.nn.relu(1 - real)) + jnp.mean(jax.nn.relu(1 + fake)))


def gaussian_kl(mean: Array, log_variance: Array) -> Array:
    """KL(N(mean, variance) || N(0, I)), summed over each example [B, ...], mean over the batch."""
    each = 0.5 * (jnp.square(mean) + jnp.exp(log_variance) - 1 - log_variance)
    return jnp.mean(jnp.sum(each, axis=tuple(range(1, mean.ndim))))
