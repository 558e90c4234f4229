"""Optimizers: one Adam per role.

The learning rate follows a cosine over the run and changes once per epoch.
"""

from collections.abc import Mapping, Sequence
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


def step_of_update(update: Array, turns: int, interval: int) -> Array:
    """The train step that an update of Adam belongs to, both counted from 0.

    Args:
      update: int32 scalar.
      turns: updates of a train step, for the losses of a role that has several turns.
      interval: k, if every turn has a further update in train steps 0, k, 2 k, ..; 0: none.
    """
    if interval == 0:
        return update // turns
    cycles, rest = jnp.divmod(update, turns * (interval + 1))
    return cycles * interval + jnp.maximum(rest - turns, 0) // turns


def learning_rate(
    settings: Mapping[str, Any], total_steps: int, steps_per_epoch: int
) -> optax.Schedule:
    """The learning rate as a function of the train step, counted from 0.

    Args:
      settings: `config.optim.<role>`.
      total_steps, steps_per_epoch: see `cosine_per_epoch`.
    """
    c, k = settings, settings["lazy_interval"]
    schedule = cosine_per_epoch(
        c["learning_rate"], c["final_learning_rate"], total_steps, steps_per_epoch
    )

    def rate(step: Array) -> Array:
        annealed: Array = jnp.asarray(schedule(step))
        return k / (k + 1) * annealed if k else annealed

    return rate


def _adam(
    rate: optax.Schedule, settings: Mapping[str, Any], turns: int, interval: int
) -> optax.GradientTransformation:
    """Adam, made slower for a regularizer that takes a step of its own every k-th step.

    There are (k + 1) / k times as many steps then. StyleGAN2 (Karras et al. 2020, appendix B)
    multiplies the rate by k / (k + 1) and raises the betas to this power.
    """
    k, c = settings["lazy_interval"], settings
    share = k / (k + 1) if k else 1.0

    def rate_of_update(update: Array) -> Array:
        return jnp.asarray(rate(step_of_update(update, turns, interval)))

    return optax.adam(rate_of_update, b1=c["beta1"] ** share, b2=c["beta2"] ** share, eps=c["eps"])


def make_optimizers(
    optim: Mapping[str, Any],
    roles: Sequence[str],
    total_steps: int,
    steps_per_epoch: int,
    intervals: Mapping[str, int] = {},
) -> dict[str, optax.GradientTransformation]:
    """An Adam for each role, with the settings of `config.optim.<role>`.

    Args:
      optim: `config.optim`.
      roles: the role of each turn of a train step; a role may have several.
      total_steps, steps_per_epoch: see `cosine_per_epoch`.
      intervals: role -> steps between two steps that a regularizer takes of its own.
    """
    return {
        role: _adam(
            learning_rate(optim[role], total_steps, steps_per_epoch),
            optim[role],
            list(roles).count(role),
            intervals.get(role, 0),
        )
        for role in dict.fromkeys(roles)
    }


def learning_rates(
    optim: Mapping[str, Any],
    roles: Sequence[str],
    step: int,
    total_steps: int,
    steps_per_epoch: int,
) -> dict[str, float]:
    """The learning rates "<role>/learning_rate" of train step `step`, counted from 1."""
    rates = {role: learning_rate(optim[role], total_steps, steps_per_epoch) for role in roles}
    return {
        f"{role}/learning_rate": float(rate(jnp.int32(step - 1))) for role, rate in rates.items()
    }
