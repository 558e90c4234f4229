"""Noise schedules: variances beta_1..beta_T, and the tables that follow from them.

Tables are computed in float64 on the host and stored in float32. They are computed from the
float32 betas, as in the published code: the last beta is close to 1, so that rounding it changes
alpha = 1 - beta by a relative 1e-5.

Indices follow Xiao et al. 2022 (DDGAN): x_0 is data, x_T is noise. A forward table has T + 1
entries, entry i belongs to x_i. A posterior table has T entries, entry t belongs to the step from
x_{t+1} to x_t.
"""

import math
from typing import NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError

TIME_EPS = 1e-3  # first time of the continuous schedule
FIRST_BETA = 1e-8  # beta_0 of the published code

_SMALLEST_BETA = 2.0**-52  # smaller ones vanish in 1 - beta, in float64
_LARGEST_EXPONENT = 25 * math.log(2)  # 1 - exp(-x) rounds to 1 in float32 above it
# sqrt(exp(-x)) is below the normal numbers of float32 above it.
_LARGEST_TOTAL = -2 * math.log(float(np.finfo(np.float32).tiny))


def variance_preserving_betas(
    num_steps: int, beta_min: float = 0.1, beta_max: float = 20.0
) -> np.ndarray:
    """Betas of the VP diffusion sampled at T + 1 equidistant times, as in DDGAN.

    With times s_0 = 1e-3 < ... < s_T = 1,

      alpha_bar(s) = exp(-s^2 (beta_max - beta_min) / 2 - s beta_min)
      beta_i       = 1 - alpha_bar(s_i) / alpha_bar(s_{i-1})

    (Song et al. 2021, eq. 33; Xiao et al. 2022, appendix A).

    Args:
      num_steps: T, at least 1.
      beta_min, beta_max: rates at s = 0 and s = 1, 0 < beta_min <= beta_max.

    Returns:
      beta_1..beta_T, float32 [T], never decreasing, all in (0, 1).

    Raises:
      UserError: a setting out of range, or for which a beta or the signal that is left at x_T
        rounds to 0 or a beta rounds to 1.
    """
    _check_num_steps(num_steps)
    _check_order(beta_min, beta_max, beta_max < math.inf, "")
    times = TIME_EPS + (1 - TIME_EPS) * np.arange(num_steps + 1, dtype=np.float64) / num_steps
    _check_exponents(num_steps, beta_min, beta_max, times)
    alpha_bar = np.exp(-0.5 * times**2 * (beta_max - beta_min) - times * beta_min)
    return np.asarray(1 - alpha_bar[1:] / alpha_bar[:-1], np.float32)


def linear_betas(num_steps: int, beta_min: float = 1e-4, beta_max: float = 0.02) -> np.ndarray:
    """Betas that grow linearly from beta_min to beta_max (Ho et al. 2020).

    Args:
      num_steps: T, at least 1.
      beta_min, beta_max: beta_1 and beta_T, 0 < beta_min <= beta_max < 1.

    Returns:
      beta_1..beta_T, float32 [T].

    Raises:
      UserError: a setting out of range, or for which a beta rounds to 0 or 1, or the signal that
        is left at x_T rounds to 0.
    """
    _check_num_steps(num_steps)
    _check_order(beta_min, beta_max, bool(np.float32(min(beta_max, 1.0)) < 1), " < 1")
    if beta_min < _SMALLEST_BETA:
        raise UserError(
            f"config.diffusion.beta_min is {beta_min}; a number of at least {_SMALLEST_BETA:.2g} "
            "is needed"
        )
    betas = np.linspace(beta_min, beta_max, num_steps).astype(np.float32)
    if -np.log1p(-betas.astype(np.float64)).sum() > _LARGEST_TOTAL:
        raise UserError(
            f"config.diffusion.beta_max is {beta_max}; a smaller number, or fewer than "
            f"config.diffusion.num_steps = {num_steps}, is needed: x_T holds no signal in float32"
        )
    return betas


def _check_num_steps(num_steps: int) -> None:
    if num_steps < 1:
        raise UserError(f"config.diffusion.num_steps is {num_steps}; at least 1 is needed")


def _check_order(beta_min: float, beta_max: float, below_limit: bool, limit: str) -> None:
    """`below_limit` says whether beta_max meets `limit`, the end of the inequality."""
    if not (0 < beta_min <= beta_max and below_limit):
        raise UserError(
            f"config.diffusion.beta_max is {beta_max}; finite numbers "
            f"0 < beta_min <= beta_max{limit} are needed, beta_min is {beta_min}"
        )


def _check_exponents(num_steps: int, beta_min: float, beta_max: float, times: np.ndarray) -> None:
    """Check beta_min and beta_max of the VP diffusion; see `variance_preserving_betas`.

    Step i multiplies alpha_bar by exp(-x_i), x_i = a_i (beta_max - beta_min) + b beta_min with
    a_i = (s_i^2 - s_{i-1}^2) / 2 and b = s_i - s_{i-1}. The first x_i is the smallest, the last
    the largest.
    """
    slopes, length = 0.5 * np.diff(times**2), (1 - TIME_EPS) / num_steps
    steps = f"with config.diffusion.num_steps = {num_steps}"
    limit = min(_LARGEST_EXPONENT / length, _LARGEST_TOTAL)
    if beta_min >= limit:
        raise UserError(
            f"config.diffusion.beta_min is {beta_min}; a number below {_floor(limit)} is needed "
            f"{steps}"
        )
    limit = beta_min + min(
        (_LARGEST_EXPONENT - length * beta_min) / slopes[-1], 2 * (_LARGEST_TOTAL - beta_min)
    )
    if beta_max >= limit:
        raise UserError(
            f"config.diffusion.beta_max is {beta_max}; a number below {_floor(limit)} is needed "
            f"{steps}"
        )
    if slopes[0] * (beta_max - beta_min) + length * beta_min < _SMALLEST_BETA:
        least = beta_min + (_SMALLEST_BETA - length * beta_min) / slopes[0]
        raise UserError(
            f"config.diffusion.beta_max is {beta_max}; a number above {least:.2g} is needed {steps}"
        )


def _floor(limit: float) -> str:
    return f"{math.floor(100 * limit) / 100:g}"


def spaced(betas: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Keep `count` of the T times of a chain, evenly spaced, with the same marginals at them.

    The times are tau_i = round(i T / count), i = 1..count; the last is T.

    Args:
      betas: beta_1..beta_T.
      count: number of times to keep, 1..T.

    Returns:
      The times, int32 [count], and the betas of the shorter chain,
      1 - alpha_bar_{tau_i} / alpha_bar_{tau_{i-1}}, float64 [count]: rounding them would change
      the marginals.

    Raises:
      UserError: count out of range, or so small that a beta rounds to 1.
    """
    if not 1 <= count <= len(betas):
        raise UserError(
            f"config.sampler.steps is {count}; an integer from 1 to "
            f"config.diffusion.num_steps = {len(betas)} is needed"
        )
    times = np.round(np.arange(1, count + 1) * (len(betas) / count)).astype(np.int32)
    alpha_bar = np.concatenate([[1.0], np.cumprod(1 - np.asarray(betas, np.float64))])
    kept = alpha_bar[np.concatenate([[0], times])]
    kept_betas = 1 - kept[1:] / kept[:-1]
    if kept_betas.max() >= 1:
        raise UserError(
            f"config.sampler.steps is {count}; more are needed: one of these steps leaves no signal"
        )
    return times, kept_betas


class ForwardTables(NamedTuple):
    """Coefficients of the forward process, float32 [T + 1]; entry i belongs to x_i.

      x_i = sqrt_alpha_bar_i x_0 + sigma_bar_i n   and   x_i = sqrt_alpha_i x_{i-1} + sigma_i n.

    Attributes:
      sigma: sqrt(beta_i).
      sqrt_alpha: sqrt(1 - beta_i).
      sqrt_alpha_bar: square root of the product of 1 - beta_j, j = 1..i.
      sigma_bar: sqrt(1 - alpha_bar_i).
    """

    sigma: np.ndarray
    sqrt_alpha: np.ndarray
    sqrt_alpha_bar: np.ndarray
    sigma_bar: np.ndarray


class PosteriorTables(NamedTuple):
    """Coefficients of the posterior, float32 [T]; entry t belongs to the step x_{t+1} -> x_t.

      q(x_t | x_{t+1}, x_0) = N(coef_x0 x_0 + coef_xt x_{t+1}, variance I).

    Attributes:
      coef_x0, coef_xt: coefficients of the mean.
      variance: 0 at t = 0.
      sigma: sqrt(variance).
    """

    coef_x0: np.ndarray
    coef_xt: np.ndarray
    variance: np.ndarray
    sigma: np.ndarray


def forward_tables(betas: np.ndarray) -> ForwardTables:
    """Tables of the forward process from beta_1..beta_T.

    The published code puts beta_0 = 1e-8 before the betas. In its float32 tables that gives
    sqrt_alpha_bar_0 = 1 and sigma_bar_0 = 0, so that x_t at t = 0 is the data; here these values
    are set directly. Only sigma_0, which nothing reads, is sqrt(beta_0).
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
        betas * np.sqrt(alpha_bar_prev) / (1 - alpha_bar),
        (1 - alpha_bar_prev) * np.sqrt(alpha) / (1 - alpha_bar),
        variance,
        np.sqrt(variance),
    )
    return PosteriorTables(*(np.asarray(x, np.float32) for x in tables))
