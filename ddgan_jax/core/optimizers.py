"""Optimizers: one Adam per role, with a learning rate annealed by a cosine once per epoch."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import optax

from ddgan_jax.core.types import Array


def epoch_of(step: Array, total_steps: int, steps_per_epoch: int) -> tuple[Array, int]:
    """(whole epochs done, float32 scalar; number of epochs in the run, rounded up)."""
    epochs = max(-(-total_steps // steps_per_epoch), 1)
    return jnp.minimum(step // steps_per_epoch, epochs).astype(jnp.float32), epochs


def cosine_per_epoch(
    peak: float, final: float, total_steps: int, steps_per_epoch: int
) -> optax.Schedule:
    """The learning rate final + (peak - final) (1 + cos(pi e / E)) / 2.

    e = step // steps_per_epoch of E epochs: the rate is constant within an epoch, as in DDGAN's
    published training. `final == peak` gives a constant rate.
    """

    def schedule(step: Array) -> Array:
        epoch, epochs = epoch_of(step, total_steps, steps_per_epoch)
        return final + (peak - final) * 0.5 * (1 + jnp.cos(jnp.pi / epochs * epoch))

    return schedule


def _adam(rate: optax.Schedule, settings: Mapping[str, Any]) -> optax.GradientTransformation:
    """Adam, made slower for a regularizer that takes a step of its own every k-th step.

    There are (k + 1) / k times as many steps then. StyleGAN2 (Karras et al. 2020, appendix B)
    multiplies the rate by k / (k + 1) and raises the betas to this power. The rate is annealed over
    Adam's own steps.
    """
    k, c = settings["lazy_interval"], settings
    if k == 0:
        return optax.adam(rate, b1=c["beta1"], b2=c["beta2"], eps=c["eps"])
    share = k / (k + 1)

    def slower(step: Array) -> Array:
        slowed: Array = share * jnp.asarray(rate(step))
        return slowed

    return optax.adam(slower, b1=c["beta1"] ** share, b2=c["beta2"] ** share, eps=c["eps"])


def make_optimizers(
    optim: Mapping[str, Any], roles: tuple[str, ...], total_steps: int, steps_per_epoch: int
) -> dict[str, optax.GradientTransformation]:
    """An Adam for each role, with the settings of `config.optim.<role>`."""
    optimizers = {}
    for role in roles:
        c = optim[role]
        rate = cosine_per_epoch(
            c.learning_rate, c.final_learning_rate, total_steps, steps_per_epoch
        )
        optimizers[role] = _adam(rate, c)
    return optimizers
