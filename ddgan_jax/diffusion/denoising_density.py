"""The true denoising density of a 1-D mixture of Gaussians, by Bayes' rule on a grid.

Each step of a diffusion model samples from q(x_{t-1} | x_t). For a small step this density is
nearly Gaussian for any data; for a large step it has several modes (Xiao et al. 2022, figure 1),
which is why DDGAN models each of its few steps with a GAN.
"""

from typing import NamedTuple

import numpy as np


class Mixture(NamedTuple):
    """The mixture sum_k weights_k N(means_k, stds_k^2).

    Attributes:
      weights: [K], positive, with sum 1.
      means: [K].
      stds: [K], positive.
    """

    weights: np.ndarray
    means: np.ndarray
    stds: np.ndarray


def density(mixture: Mixture, x: np.ndarray) -> np.ndarray:
    """The mixture's density at x [G], float64 [G]."""
    z = (np.asarray(x, np.float64)[:, None] - mixture.means) / mixture.stds
    total: np.ndarray = np.exp(-0.5 * z**2) @ (
        mixture.weights / (mixture.stds * np.sqrt(2 * np.pi))
    )
    return total


def diffused(mixture: Mixture, alpha_bar: float) -> Mixture:
    """The distribution of sqrt(alpha_bar) x + sqrt(1 - alpha_bar) n for x from the mixture."""
    variances = alpha_bar * mixture.stds**2 + 1 - alpha_bar
    return Mixture(mixture.weights, np.sqrt(alpha_bar) * mixture.means, np.sqrt(variances))


def denoising_density(
    data: Mixture, grid: np.ndarray, x_t: float, beta: float, alpha_bar: float = 1.0
) -> np.ndarray:
    """The density q(x_{t-1} | x_t) = q(x_t | x_{t-1}) q(x_{t-1}) / q(x_t) on a grid.

    Here q(x_t | x_{t-1}) = N(sqrt(1 - beta) x_{t-1}, beta).

    Args:
      data: the distribution of x_0.
      grid: values of x_{t-1}, [G], increasing, fine and wide enough to integrate over.
      x_t: the given noisy value.
      beta: variance of the step, in (0, 1).
      alpha_bar: product of 1 - beta over the steps before; 1 if x_{t-1} is the data.

    Returns:
      float64 [G] with integral 1 over the grid (trapezoidal rule).
    """
    exponent = -((x_t - np.sqrt(1 - beta) * np.asarray(grid, np.float64)) ** 2) / (2 * beta)
    product = density(diffused(data, alpha_bar), grid) * np.exp(exponent - exponent.max())
    normalized: np.ndarray = product / np.trapezoid(product, grid)
    return normalized


def modes(values: np.ndarray) -> int:
    """Number of local maxima of a density on a grid that exceed 1 % of the largest."""
    inner = values[1:-1]
    peaks = (inner > values[:-2]) & (inner >= values[2:]) & (inner > values.max() / 100)
    return int(peaks.sum())


class Example(NamedTuple):
    """An example to draw.

    Attributes:
      data: q(x_{t-1}).
      x_t: the noisy sample, between two modes of the data.
      betas: variances of the step.
      grid: values of x_{t-1}, increasing.
    """

    data: Mixture
    x_t: float
    betas: tuple[float, ...]
    grid: np.ndarray


# Variances of the five steps of the figure of densities over time: modes merge one step at a time.
EVOLUTION = (0.01, 0.03, 0.08, 0.3, 0.8)

EXAMPLE = Example(
    Mixture(np.full(4, 0.25), np.array([-1.5, -0.5, 0.5, 1.5]), np.full(4, 0.1)),
    x_t=0.1,
    betas=(0.005, 0.1, 0.4, 0.8),
    grid=np.linspace(-4.0, 4.0, 4001),
)
