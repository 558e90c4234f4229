"""One Adam per role, its learning rate annealed by a cosine once per epoch."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import optax

from ddgan_jax.core.types import Array


def epoch_of(step: Array, total_steps: int, steps_per_epoch: int) -> tuple[Array, int]:
    """(whole epochs done, float32; epochs of the run, the last perhaps not whole)."""
    epochs = max(-(-total_steps // steps_per_epoch), 1)
    return jnp.minimum(step // steps_per_epoch, epochs).astype(jnp.float32), epochs


def cosine_per_epoch(
    peak: float, final: float, total_steps: int, steps_per_epoch: int
) -> optax.Schedule:
    """Final + (peak - final) (1 + cos(pi e / E)) / 2, e = step // steps_per_epoch of E epochs.

    The rate is constant within an epoch, as in the published training; `final == peak` gives a
    constant rate.
    """

    def schedule(step: Array) -> Array:
        epoch, epochs = epoch_of(step, total_steps, steps_per_epoch)
        return final + (peak - final) * 0.5 * (1 + jnp.cos(jnp.pi / epochs * epoch))

    return schedule


def make_optimisers(
    optim: Mapping[str, Any], roles: tuple[str, ...], total_steps: int, steps_per_epoch: int
) -> dict[str, optax.GradientTransformation]:
    """An optimiser for each role from `config.optim.<role>`."""
    optimisers = {}
    for role in roles:
        c = optim[role]
        rate = cosine_per_epoch(
            c.learning_rate, c.final_learning_rate, total_steps, steps_per_epoch
        )
        optimisers[role] = optax.adam(rate, b1=c.beta1, b2=c.beta2, eps=c.eps)
    return optimisers
