"""Adversarial and reconstruction losses and gradient penalties, in float32.

Logits are the discriminator's outputs before a sigmoid, float32 [B]. Every loss is a mean over the
batch.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ddgan_jax.core.optimizers import epoch_of
from ddgan_jax.core.types import Array


class AdversarialLoss(NamedTuple):
    """The two losses of an adversarial game.

    Attributes:
      disc: (real logits [B], fake logits [B]) -> what the discriminator minimizes.
      gen: (real logits [B] or None, fake logits [B]) -> what the generator minimizes.
      gen_sees_real: whether `gen` needs the real logits.
    """

    disc: Callable[[Array, Array], Array]
    gen: Callable[[Array | None, Array], Array]
    gen_sees_real: bool = False


def logistic_disc_loss(real: Array, fake: Array) -> Array:
    """E softplus(-D(real)) + E softplus(D(fake)) (Goodfellow et al. 2014); 2 log 2 at D = 0."""
    return jnp.mean(jax.nn.softplus(-real)) + jnp.mean(jax.nn.softplus(fake))


def nonsaturating_gen_loss(real: Array | None, fake: Array) -> Array:
    """E softplus(-D(fake)), the non-saturating loss (Goodfellow et al. 2014); log 2 at D = 0."""
    del real
    return jnp.mean(jax.nn.softplus(-fake))


def saturating_gen_loss(real: Array | None, fake: Array) -> Array:
    """-E softplus(D(fake)) = E log(1 - sigmoid D(fake)) (Goodfellow et al. 2014)."""
    del real
    return -jnp.mean(jax.nn.softplus(fake))


def hinge_disc_loss(real: Array, fake: Array) -> Array:
    """E relu(1 - D(real)) + E relu(1 + D(fake)) (Lim and Ye 2017); 2 at D = 0."""
    return jnp.mean(jax.nn.relu(1 - real)) + jnp.mean(jax.nn.relu(1 + fake))


def hinge_gen_loss(real: Array | None, fake: Array) -> Array:
    """-E D(fake) (Lim and Ye 2017)."""
    del real
    return -jnp.mean(fake)


def relativistic_disc_loss(real: Array, fake: Array) -> Array:
    """E softplus(-(D(real) - D(fake))) over pairs (Jolicoeur-Martineau 2018); log 2 at D = 0."""
    return jnp.mean(jax.nn.softplus(fake - real))


def relativistic_gen_loss(real: Array | None, fake: Array) -> Array:
    """E softplus(-(D(fake) - D(real))) over pairs (Jolicoeur-Martineau 2018)."""
    assert real is not None
    return jnp.mean(jax.nn.softplus(real - fake))


ADVERSARIAL_LOSSES = {
    "nonsaturating": AdversarialLoss(logistic_disc_loss, nonsaturating_gen_loss),
    "saturating": AdversarialLoss(logistic_disc_loss, saturating_gen_loss),
    "hinge": AdversarialLoss(hinge_disc_loss, hinge_gen_loss),
    "relativistic": AdversarialLoss(
        relativistic_disc_loss, relativistic_gen_loss, gen_sees_real=True
    ),
}


def gradient_penalty(discriminator: Callable[[Array], Array], x: Array) -> Array:
    """E ||d D(x) / d x||^2, unweighted: R1 at real x (Mescheder et al. 2018), R2 at fake x.

    Args:
      discriminator: x [B, ...] -> logits [B].
      x: where the gradient is taken. It is the gradient of the sum over the batch, so terms that
        couple samples (minibatch standard deviation) count as in the published code.
    """
    gradient = jax.grad(lambda y: jnp.sum(discriminator(y)))(x)
    return jnp.mean(jnp.sum(jnp.square(gradient), axis=tuple(range(1, x.ndim))))


def reconstruction_loss(real: Array, fake: Array) -> Array:
    """L1: the mean of |real - fake| over all values of all samples."""
    return jnp.mean(jnp.abs(real - fake))


def constant_weight(weight: float) -> Callable[[Array], Array]:
    """A schedule: step int32 -> float32 `weight`."""
    return lambda step: jnp.full_like(step, weight, jnp.float32)


def fading_weight(
    weight: float, delta: float, total_steps: int, steps_per_epoch: int
) -> Callable[[Array], Array]:
    """The weighted learning of LDDGAN (Trinh and Hamagami 2024, arXiv 2406.11713).

    A schedule: step int32 -> float32 weight (1 - 1 / (1 + exp(-phi))), where
    phi = -delta + 2 delta e / E and e = step // steps_per_epoch of E epochs. It falls from nearly
    `weight` to nearly 0. The paper prints phi = -delta + delta e / E, which would end at half the
    weight; its text and figure say 0.
    """

    def schedule(step: Array) -> Array:
        epoch, epochs = epoch_of(step, total_steps, steps_per_epoch)
        return weight * jax.nn.sigmoid(delta - 2 * delta * epoch / epochs)

    return schedule


def gaussian_kl(mean: Array, log_variance: Array) -> Array:
    """KL(N(mean, variance) || N(0, I)): summed over each example [B, ...], mean over the batch."""
    each = 0.5 * (jnp.square(mean) + jnp.exp(log_variance) - 1 - log_variance)
    return jnp.mean(jnp.sum(each, axis=tuple(range(1, mean.ndim))))
