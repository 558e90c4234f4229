"""Adaptive instance noise for the discriminator of any GAN (Diffusion-GAN, arXiv 2206.02262).

The discriminator never sees an image x, real or generated, but a diffused one, and knows how far:

  y = sqrt(abar_t) x + sqrt(1 - abar_t) noise_std n,   n ~ N(0, I),   D(y, t)
  abar_t = prod_{j<=t} (1 - beta_j),   beta linear from beta_min (j = 1) to beta_max (j = T)

Half of the images keep t = 0, which is no noise. The chain gets longer while the discriminator is
too sure of real images, and shorter while it is not (the rule of adaptive augmentation):

  every `every` steps:  p += sign(E sign D(y_real) - target) B every / images, kept within [0, 1]
                        T  = t_min + round(p (t_max - t_min))

All functions are pure, their numbers may be traced, and one compilation serves every T: put
`diffuse` before every use of the discriminator, keep the state beside the weights, and call
`update` after each step. docs/diffusion_gan_for_others.md is an example.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ddgan_jax.core.types import Array

LIST_SIZE = 64  # times that one update draws, and that images then choose from
LIST_ZEROS = 32  # of them without noise


class InstanceNoise(NamedTuple):
    """The settings, static.

    Attributes:
      t_min, t_max: shortest (at least 2) and longest chain.
      beta_min, beta_max: variances of the first and the last step of the chain, whatever T.
      noise_std: of the noise; small against the images' range [-1, 1].
      timesteps: "priority", t in {1..T} with weight t - 1, or "uniform".
      target: share of sign D(y_real) above which D is too sure.
      every: steps between two updates.
      images: real images that it takes p to get from 0 to 1.
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


class NoiseState(NamedTuple):
    """What changes during training.

    Attributes:
      p: float32 in [0, 1].
      length: int32, T of the chain that p stands for.
      times: int32 [LIST_SIZE], what images choose their t from.
      signs: float32, sum over the steps since the last update of mean sign D(y_real).
      steps: int32, how many those are.
    """

    p: Array
    length: Array
    times: Array
    signs: Array
    steps: Array


def init(settings: InstanceNoise, key: Array) -> NoiseState:
    """The state before the first step: the shortest chain."""
    p = jnp.zeros((), jnp.float32)
    length = chain_length(settings, p)
    times = draw_times(settings, key, length)
    return NoiseState(p, length, times, jnp.zeros((), jnp.float32), jnp.zeros((), jnp.int32))


def chain_length(settings: InstanceNoise, p: Array) -> Array:
    """T = t_min + round(p (t_max - t_min)), int32."""
    return settings.t_min + jnp.round(p * (settings.t_max - settings.t_min)).astype(jnp.int32)


def alpha_bars(settings: InstanceNoise, length: Array) -> Array:
    """abar_0..abar_{t_max} of the chain of T = `length` steps, float32 [t_max + 1].

    abar_0 = 1; those after abar_T are of no use, they only make the shape the same for all T.
    """
    j = jnp.arange(settings.t_max, dtype=jnp.float32)
    along = jnp.minimum(j / (length - 1).astype(jnp.float32), 1.0)
    betas = settings.beta_min + (settings.beta_max - settings.beta_min) * along
    return jnp.concatenate([jnp.ones(1), jnp.exp(jnp.cumsum(jnp.log1p(-betas)))])


def draw_times(settings: InstanceNoise, key: Array, length: Array) -> Array:
    """LIST_ZEROS zeros, then draws from pi(t) over {1..length}, int32 [LIST_SIZE]."""
    before = jnp.arange(settings.t_max)  # t - 1
    weights = before if settings.timesteps == "priority" else jnp.ones_like(before)
    weights = jnp.where(before < length, weights, 0).astype(jnp.float32)
    drawn = 1 + jax.random.categorical(key, jnp.log(weights), shape=(LIST_SIZE - LIST_ZEROS,))
    return jnp.concatenate([jnp.zeros(LIST_ZEROS, jnp.int32), drawn.astype(jnp.int32)])


def diffuse(
    settings: InstanceNoise, state: NoiseState, key: Array, x: Array
) -> tuple[Array, Array]:
    """What the discriminator gets to see of images.

    Args:
      settings, state: of the noise.
      key: typed; the same key draws the same t and n, another one for every use.
      x: float32 [B, ...]; gradients pass through.

    Returns:
      y like x, and t int32 [B] in 0..T.
    """
    key_t, key_noise = jax.random.split(key)
    t = state.times[jax.random.randint(key_t, x.shape[:1], 0, LIST_SIZE)]
    alpha_bar = alpha_bars(settings, state.length)[t].reshape(t.shape + (1,) * (x.ndim - 1))
    noise = settings.noise_std * jax.random.normal(key_noise, x.shape)
    return jnp.sqrt(alpha_bar) * x + jnp.sqrt(1 - alpha_bar) * noise, t


def update(settings: InstanceNoise, state: NoiseState, key: Array, d_real: Array) -> NoiseState:
    """The state after one train step.

    Args:
      settings, state: of the noise.
      key: typed, for a new list of times.
      d_real: [B], what D said to the diffused real images of this step (before its last sigmoid,
        so that 0 is undecided).

    Returns:
      At every `settings.every`-th call a new p, T and list; else only the mean sign is added.
    """
    signs, steps = state.signs + jnp.mean(jnp.sign(d_real)), state.steps + 1
    move = d_real.shape[0] * settings.every / settings.images
    p = jnp.clip(state.p + move * jnp.sign(signs / settings.every - settings.target), 0.0, 1.0)
    length = chain_length(settings, p)
    times = draw_times(settings, key, length)
    updated = NoiseState(p, length, times, jnp.zeros_like(signs), jnp.zeros_like(steps))
    waiting = state._replace(signs=signs, steps=steps)
    due = steps == settings.every
    return jax.tree.map(lambda new, old: jnp.where(due, new, old), updated, waiting)
