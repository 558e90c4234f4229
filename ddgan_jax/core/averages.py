"""The decay of the moving averages of weights."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from ddgan_jax.core.types import Array


def half_life_decay(half_life: float, rampup: float, batch_size: int) -> Callable[[Array], Array]:
    """The decay per step of an average with a half-life in images, as in StyleGAN2's training.

    A schedule: step int32 -> float32 0.5^(B / h), h = min(half-life, rampup n), where n = B step
    images have been seen before the step. With a ramp-up the first average is the weights after the
    first step.

    Args:
      half_life: images in which the share of old weights falls to a half.
      rampup: see above; 0: h is the half-life.
      batch_size: B.
    """

    def schedule(step: Array) -> Array:
        images = jnp.full_like(step, half_life, jnp.float32)
        if rampup:
            images = jnp.minimum(images, rampup * batch_size * step.astype(jnp.float32))
        return 0.5 ** (batch_size / jnp.maximum(images, 1e-8))

    return schedule


def warmed_up_decay(decay: float) -> Callable[[Array], Array]:
    """The decay per step of an average that starts with a short memory.

    A schedule: step int32 -> float32 min(decay, (1 + step) / (10 + step)), where `step` steps have
    been done before. After k steps the average covers about the last k / 9 of them, and later the
    last 1 / (1 - decay). With a constant decay, a share decay^k of the average would still be the
    initial weights.

    Args:
      decay: the largest decay per step.
    """

    def schedule(step: Array) -> Array:
        steps = step.astype(jnp.float32)
        return jnp.minimum(decay, (1 + steps) / (10 + steps))

    return schedule


def ema_decay(config: Mapping[str, Any]) -> float | Callable[[Array], Array]:
    """The decay per step that a complete config describes, see `train_step`."""
    if config["ema_half_life"] == 0:
        decay: float = config["ema_decay"]
        return warmed_up_decay(decay) if config["ema_warmup"] else decay
    batch_size = config["train"]["batch_size"]
    return half_life_decay(config["ema_half_life"], config["ema_rampup"], batch_size)
