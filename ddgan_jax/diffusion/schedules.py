"""Noise schedules: tables computed in float64 on the host, kept in float32.

All tables follow from the float32 betas, as in the published runs. That matters: the last beta is
close to 1, so rounding it moves alpha = 1 - beta by 1e-5 of itself.

Index conventions follow Xiao et al. 2022 (DDGAN): `x_0` is data, `x_T` noise; a forward table has
T + 1 entries (index i belongs to x_i), a posterior table has T (index t belongs to the step from
x_{t+1} to x_t).
"""

from typing import NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError

TIME_EPS = 1e-3  # first time of the continuous schedule
FIRST_BETA = 1e-8  # beta_0: vanishes in float32, so that x_0 is the data itself


def variance_preserving_betas(
    num_steps: int, beta_min: float = 0.1, beta_max: float = 20.0
) -> np.ndarray:
    """beta_1..beta_T of the VP diffusion seen at T + 1 equidistant times, float32 [T].

    var(s) = 1 - exp(-s^2 (beta_max - beta_min) / 2 - s beta_min), abar = 1 - var and
    beta_i = 1 - abar_i / abar_{i-1} (Song et al. 2021, eq. 33; DDGAN, appendix A).

    Raises:
      UserError: num_steps < 1 or not 0 < beta_min <= beta_max.
    """
    if num_steps < 1:
        raise UserError(f"diffusion.num_steps is {num_steps}; it must be at least 1")
    if not 0 < beta_min <= beta_max:
        raise UserError(
            f"diffusion.beta_min is {beta_min} and beta_max {beta_max}; "
            "0 < beta_min <= beta_max is needed"
        )
    times = TIME_EPS + (1 - TIME_EPS) * np.arange(num_steps + 1, dtype=np.float64) / num_steps
    alpha_bar = np.exp(-0.5 * times**2 * (beta_max - beta_min) - times * beta_min)
    return np.asarray(1 - alpha_bar[1:] / alpha_bar[:-1], np.float32)


def linear_betas(num_steps: int, beta_min: float = 1e-4, beta_max: float = 0.02) -> np.ndarray:
    """beta_1..beta_T at equal distances from beta_min to beta_max, float32 [T] (Ho et al. 2020).

    Raises:
      UserError: num_steps < 1 or not 0 < beta_min <= beta_max < 1.
    """
    if num_steps < 1:
        raise UserError(f"diffusion.num_steps is {num_steps}; it must be at least 1")
    if not 0 < beta_min <= beta_max < 1:
        raise UserError(
            f"diffusion.beta_min is {beta_min} and beta_max {beta_max}; "
            "0 < beta_min <= beta_max < 1 is needed"
        )
    return np.linspace(beta_min, beta_max, num_steps).astype(np.float32)


def spaced(betas: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """A chain of `count` of the T times of another, with the same marginals at these times.

    The times are round(i T / count), i = 1..count: the last is T.

    Args:
      betas: beta_1..beta_T.
      count: 1..T.

    Returns:
      The times, int32 [count], and their betas 1 - abar_{tau_i} / abar_{tau_{i-1}}, float64
      (for the tables: rounded, they would no longer have these marginals).

    Raises:
      UserError: count out of range.
    """
    if not 1 <= count <= len(betas):
        raise UserError(
            f"sampler.steps is {count}; an integer from 1 to diffusion.num_steps = {len(betas)} "
            "is needed"
        )
    times = np.round(np.arange(1, count + 1) * (len(betas) / count)).astype(np.int32)
    alpha_bar = np.concatenate([[1.0], np.cumprod(1 - np.asarray(betas, np.float64))])
    kept = alpha_bar[np.concatenate([[0], times])]
    return times, 1 - kept[1:] / kept[:-1]


class ForwardTables(NamedTuple):
    """float32 [T + 1], index i belongs to x_i.

    x_i = sqrt_alpha_bar_i x_0 + sigma_bar_i n   and   x_i = sqrt_alpha_i x_{i-1} + sigma_i n.
    """

    sigma: np.ndarray
    sqrt_alpha: np.ndarray
    sqrt_alpha_bar: np.ndarray
    sigma_bar: np.ndarray


class PosteriorTables(NamedTuple):
    """float32 [T], index t: q(x_t | x_{t+1}, x_0) = N(coef_x0 x_0 + coef_xt x_{t+1}, variance)."""

    beta: np.ndarray
    coef_x0: np.ndarray
    coef_xt: np.ndarray
    variance: np.ndarray
    sigma: np.ndarray  # sqrt(variance); 0 at t = 0


def forward_tables(betas: np.ndarray) -> ForwardTables:
    """Tables of the forward process from beta_1..beta_T.

    The published arithmetic puts beta_0 = 1e-8 in front, which vanishes in float32:
    sqrt_alpha_bar_0 = 1 and sigma_bar_0 = 0 exactly, so that x_t at t = 0 is the data. Here the
    same is said directly, in float64, for all but sigma_0, which no one reads.
    """
    betas = np.asarray(betas, np.float64)
    alpha = np.concatenate([[1.0], 1 - betas])
    alpha_bar = np.cumprod(alpha)
    tables = (
        np.sqrt(np.concatenate([[FIRST_BETA], betas])),
        np.sqrt(alpha),
        np.sqrt(alpha_bar),
        np.sqrt(1 - alpha_bar),
    )
    return ForwardTables(*(np.asarray(x, np.float32) for x in tables))


def posterior_tables(betas: np.ndarray) -> PosteriorTables:
    """Tables of q(x_t | x_{t+1}, x_0) from beta_1..beta_T (Ho et al. 2020, eq. 6 and 7)."""
    betas = np.asarray(betas, np.float64)
    alpha = 1 - betas
    alpha_bar = np.cumprod(alpha)
    alpha_bar_prev = np.concatenate([[1.0], alpha_bar[:-1]])
    variance = betas * (1 - alpha_bar_prev) / (1 - alpha_bar)
    tables = (
        betas,
        betas * np.sqrt(alpha_bar_prev) / (1 - alpha_bar),
        (1 - alpha_bar_prev) * np.sqrt(alpha) / (1 - alpha_bar),
        variance,
        np.sqrt(variance),
    )
    return PosteriorTables(*(np.asarray(x, np.float32) for x in tables))
