"""Gaussian diffusion: forward draws, the posterior, and DDIM steps.

The functions take tables of `schedules` and are pure; `gaussian` packs them into a `Process`.
x is float32 [B, ...], times are int32 [B].
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ddgan_jax.core.types import Array
from ddgan_jax.diffusion.schedules import (
    ForwardTables,
    PosteriorTables,
    forward_tables,
    posterior_tables,
)


class Process(NamedTuple):
    """A forward process with T steps and its posterior, for times t in {0..T-1}.

    Attributes:
      num_steps: T.
      forward_pair: (key, x_0 [B, ...], t int32 [B]) -> (x_t, x_{t+1}), drawn jointly.
      posterior_sample: (noise [B, ...], x_0, x_{t+1}, t) -> x_t, a draw of q(x_t | x_{t+1}, x_0)
        made from the given standard normal noise.
    """

    num_steps: int
    forward_pair: Callable[[Array, Array, Array], tuple[Array, Array]]
    posterior_sample: Callable[[Array, Array, Array, Array], Array]


def at(table: np.ndarray | Array, t: Array, like: Array) -> Array:
    """`table[t]`, [B], reshaped to [B, 1, ...] so that it multiplies `like` [B, ...]."""
    return jnp.asarray(table)[t].reshape(t.shape + (1,) * (like.ndim - t.ndim))


def diffuse(tables: ForwardTables, x_0: Array, i: Array, noise: Array) -> Array:
    """Draw x_i ~ q(x_i | x_0), i in {0..T}: sqrt(alpha_bar_i) x_0 + sqrt(1 - alpha_bar_i) noise."""
    return at(tables.sqrt_alpha_bar, i, x_0) * x_0 + at(tables.sigma_bar, i, x_0) * noise


def diffuse_pair(
    tables: ForwardTables, x_0: Array, t: Array, noise_t: Array, noise_next: Array
) -> tuple[Array, Array]:
    """Draw (x_t, x_{t+1}) jointly, t in {0..T-1}: x_{t+1} is one forward step from x_t."""
    x_t = diffuse(tables, x_0, t, noise_t)
    x_next = at(tables.sqrt_alpha, t + 1, x_0) * x_t + at(tables.sigma, t + 1, x_0) * noise_next
    return x_t, x_next


def posterior_mean_variance(
    tables: PosteriorTables, x_0: Array, x_next: Array, t: Array
) -> tuple[Array, Array]:
    """Mean [B, ...] and variance [B, 1, ...] of q(x_t | x_{t+1}, x_0) (DDPM, eq. 6 and 7)."""
    mean = at(tables.coef_x0, t, x_0) * x_0 + at(tables.coef_xt, t, x_0) * x_next
    return mean, at(tables.variance, t, x_0)


def posterior_sample(
    tables: PosteriorTables, x_0: Array, x_next: Array, t: Array, noise: Array
) -> Array:
    """Draw x_t ~ q(x_t | x_{t+1}, x_0) from standard normal `noise`; exactly x_0 at t = 0."""
    mean, _ = posterior_mean_variance(tables, x_0, x_next, t)
    return mean + at(tables.sigma, t, x_0) * noise


def x_0_from_noise(tables: ForwardTables, x_i: Array, i: Array, noise: Array) -> Array:
    """Solve x_i = diffuse(tables, x_0, i, noise) for x_0 (Ho et al. 2020, eq. 15)."""
    return (x_i - at(tables.sigma_bar, i, x_i) * noise) / at(tables.sqrt_alpha_bar, i, x_i)


def ddim_step(tables: ForwardTables, x_0: Array, x_next: Array, t: Array) -> Array:
    """A DDIM step from x_{t+1} to x_t given predicted x_0 (Song et al. 2021, eq. 12, eta = 0)."""
    noise = (x_next - at(tables.sqrt_alpha_bar, t + 1, x_0) * x_0) / at(
        tables.sigma_bar, t + 1, x_0
    )
    return diffuse(tables, x_0, t, noise)


def gaussian(betas: np.ndarray) -> Process:
    """The Gaussian diffusion with variances beta_1..beta_T, [T], as a `Process`."""
    forward, posterior = forward_tables(betas), posterior_tables(betas)

    def forward_pair(key: Array, x_0: Array, t: Array) -> tuple[Array, Array]:
        key_t, key_next = jax.random.split(key)
        noise_t = jax.random.normal(key_t, x_0.shape, x_0.dtype)
        noise_next = jax.random.normal(key_next, x_0.shape, x_0.dtype)
        return diffuse_pair(forward, x_0, t, noise_t, noise_next)

    def sample_posterior(noise: Array, x_0: Array, x_next: Array, t: Array) -> Array:
        return posterior_sample(posterior, x_0, x_next, t, noise)

    return Process(len(betas), forward_pair, sample_posterior)
