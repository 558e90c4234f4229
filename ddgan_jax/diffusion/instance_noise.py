"""Adaptive instance noise for any GAN (Diffusion-GAN, Wang et al. 2022, arXiv 2206.02262).

The discriminator receives diffused images, real and generated, and the time t:

  y = sqrt(abar_t) x + sqrt(1 - abar_t) noise_std n,   n ~ N(0, I),   D(y, t)
  abar_t = prod_{j<=t} (1 - beta_j),   beta linear from beta_min (j = 1) to beta_max (j = T)

Half of the images keep t = 0, without noise; with `noisy` = "growing", all but a share of min(p,
3/4) do. The length T of the chain adapts to the discriminator: it grows while the mean sign of
D(y_real) is above `target` and shrinks while it is below (the rule of adaptive discriminator
augmentation, Karras et al. 2020). For batches of B, every `every` steps

  p += sign(mean sign D(y_real) - target) B every / images,   clipped to [0, 1]
  T  = t_min + round(p (t_max - t_min))

All functions are pure. The state is a tuple of arrays, so one compilation serves every T. To use
them in another GAN: call `diffuse` before every use of the discriminator, keep the `NoiseState`
beside the weights, and call `update` after each step; docs/diffusion_gan_for_others.md has an
example.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Array

LIST_SIZE = 64  # times drawn at an update; each image picks one of them
LIST_ZEROS = 32  # how many of them are 0
LIST_MOST = 48  # how many of them are not 0, at most, if their share grows


class InstanceNoise(NamedTuple):
    """Settings of the instance noise; static.

    Attributes:
      t_min, t_max: length of the shortest chain, at least 2, and of the longest.
      beta_min, beta_max: variances of the first and the last step of the chain, for every T.
      noise_std: standard deviation of the noise, for images in [-1, 1].
      timesteps: distribution of t in {1..T}: "priority", proportional to t - 1, or "uniform".
      target: the mean sign of D(y_real) that the chain's length is adapted to.
      every: steps between two updates of p.
      images: number of real images over which p rises from 0 to 1 if it never falls.
      noisy: share of the images with t > 0: "half", or "growing", min(p, 3/4).
    """

    t_min: int = 10
    t_max: int = 1000
    beta_min: float = 1e-4
    beta_max: float = 0.02
    noise_std: float = 0.05
    timesteps: str = "priority"
    target: float = 0.6
    every: int = 4
    images: int = 100_000
    noisy: str = "half"


class NoiseState(NamedTuple):
    """The state of the instance noise during training.

    Attributes:
      p: float32 scalar in [0, 1].
      length: int32 scalar, T for this p.
      times: int32 [LIST_SIZE], the times that images pick from.
      signs: float32 scalar, the sum of mean sign D(y_real) over the steps since the last update.
      steps: int32 scalar, the number of these steps.
    """

    p: Array
    length: Array
    times: Array
    signs: Array
    steps: Array


def init(settings: InstanceNoise, key: Array) -> NoiseState:
    """The state before the first step: p = 0, the shortest chain.

    Raises:
      UserError: see `check`.
    """
    check(settings)
    p = jnp.zeros((), jnp.float32)
    length = chain_length(settings, p)
    times = draw_times(settings, key, length, p)
    return NoiseState(p, length, times, jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32))


def check(settings: InstanceNoise) -> None:
    """Check that the settings describe chains of noise.

    Raises:
      UserError: a chain shorter than two steps, or betas outside of (0, 1).
    """
    if not 2 <= settings.t_min <= settings.t_max:
        raise UserError(
            f"config.instance_noise.t_min is {settings.t_min}; an integer from 2 to "
            f"config.instance_noise.t_max = {settings.t_max} is needed"
        )
    low, high = settings.beta_min, settings.beta_max
    if not (0 < low <= high and np.float32(min(high, 1.0)) < 1):
        raise UserError(
            f"config.instance_noise.beta_max is {high}; 0 < beta_min <= beta_max < 1 is needed in "
            f"float32, beta_min is {low}"
        )


def chain_length(settings: InstanceNoise, p: Array) -> Array:
    """T = t_min + round(p (t_max - t_min)), int32."""
    return settings.t_min + jnp.round(p * (settings.t_max - settings.t_min)).astype(jnp.int32)


def alpha_bars(settings: InstanceNoise, length: Array) -> Array:
    """The table abar_0 = 1, .., abar_{t_max} of the chain of T = `length` steps.

    Returns:
      float32 [t_max + 1], the same shape for every T; entries after abar_T are padding.
    """
    j = jnp.arange(settings.t_max, dtype=jnp.float32)
    along = jnp.minimum(j / (length - 1).astype(jnp.float32), 1.0)
    betas = settings.beta_min + (settings.beta_max - settings.beta_min) * along
    return jnp.concatenate([jnp.ones(1), jnp.exp(jnp.cumsum(jnp.log1p(-betas)))])


def draw_times(settings: InstanceNoise, key: Array, length: Array, p: Array) -> Array:
    """Draw the list of times: zeros, then draws of t in {1..length}.

    The number of draws is LIST_SIZE - LIST_ZEROS; if the share of noisy images grows, it is
    min(round(LIST_SIZE p), LIST_MOST).

    Returns:
      int32 [LIST_SIZE].
    """
    before = jnp.arange(settings.t_max)  # t - 1
    weights = before if settings.timesteps == "priority" else jnp.ones_like(before)
    weights = jnp.where(before < length, weights, 0).astype(jnp.float32)
    growing = settings.noisy == "growing"
    most = LIST_MOST if growing else LIST_SIZE - LIST_ZEROS
    drawn = 1 + jax.random.categorical(key, jnp.log(weights), shape=(most,))
    if growing:
        count = jnp.round(LIST_SIZE * p).astype(jnp.int32)
        drawn = jnp.where(jnp.arange(most, 0, -1) <= count, drawn, 0)
    return jnp.concatenate([jnp.zeros(LIST_SIZE - most, jnp.int32), drawn.astype(jnp.int32)])


def diffuse(
    settings: InstanceNoise, state: NoiseState, key: Array, x: Array
) -> tuple[Array, Array]:
    """Diffuse images before they are given to the discriminator.

    Args:
      settings: settings of the noise.
      state: current state of the noise.
      key: typed PRNG key; use a new one at every call.
      x: images, float32 [B, ...]; gradients flow through.

    Returns:
      (y, t): diffused images of x's shape and their times, int32 [B] in {0..T}.
    """
    key_t, key_noise = jax.random.split(key)
    t = state.times[jax.random.randint(key_t, x.shape[:1], 0, LIST_SIZE)]
    return _noised(settings, state, key_noise, x, t.reshape(t.shape + (1,) * (x.ndim - 1))), t


def diffuse_channels(settings: InstanceNoise, state: NoiseState, key: Array, x: Array) -> Array:
    """Diffuse feature maps [B, H, W, C], each channel of each sample with a time of its own."""
    key_t, key_noise = jax.random.split(key)
    shape = (x.shape[0], 1, 1, x.shape[-1])
    t = state.times[jax.random.randint(key_t, shape, 0, LIST_SIZE)]
    return _noised(settings, state, key_noise, x, t)


def _noised(settings: InstanceNoise, state: NoiseState, key: Array, x: Array, t: Array) -> Array:
    """x diffused to the times t, whose shape broadcasts to that of x."""
    alpha_bar = alpha_bars(settings, state.length)[t]
    noise = settings.noise_std * jax.random.normal(key, x.shape)
    return jnp.sqrt(alpha_bar) * x + jnp.sqrt(1 - alpha_bar) * noise


def update(settings: InstanceNoise, state: NoiseState, key: Array, d_real: Array) -> NoiseState:
    """Update the state after a train step.

    Args:
      settings: settings of the noise.
      state: state during the step.
      key: typed PRNG key, for a new list of times.
      d_real: the discriminator's logits on the diffused real images of the step, [B], or [B, N]
        of N patches.

    Returns:
      The next state. Every `settings.every` calls, p, T and the list of times are new; in between,
      only the mean sign is accumulated.
    """
    signs, steps = state.signs + jnp.mean(jnp.sign(d_real)), state.steps + 1
    move = d_real.shape[0] * settings.every / settings.images
    p = jnp.clip(state.p + move * jnp.sign(signs / settings.every - settings.target), 0.0, 1.0)
    length = chain_length(settings, p)
    times = draw_times(settings, key, length, p)
    updated = NoiseState(p, length, times, jnp.zeros_like(signs), jnp.zeros_like(steps))
    waiting = state._replace(signs=signs, steps=steps)
    due = steps == settings.every
    return NoiseState(
        *(jnp.where(due, new, old) for new, old in zip(updated, waiting, strict=True))
    )
