"""Kernel distance of two sets of features; with features of Inception, the KID.

Bińkowski et al. 2018, "Demystifying MMD GANs". Unlike the Fréchet distance, its expectation does
not depend on the number of samples.
"""

from typing import NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.metrics.checks import check_features
from ddgan_jax.metrics.metric import Comparison, Metric


class KernelDistance(NamedTuple):
    """Kernel distance estimated from random subsets.

    Attributes:
      mean: mean of the subsets' estimates. It is unbiased, so equal distributions give either sign.
      std: standard deviation of the estimate of one subset.
    """

    mean: float
    std: float


def kernel_distance(
    a: np.ndarray, b: np.ndarray, seed: int = 0, subsets: int = 100, subset_size: int = 1000
) -> KernelDistance:
    """Squared MMD under the kernel (x.y / F + 1)^3, averaged over random subsets.

    Each subset is drawn without replacement, separately from each set, and has min(subset_size, N,
    M) samples. If both sets have exactly so many, every subset is the whole set, and `std` is 0.

    Args:
      a, b: float [N, F] and [M, F].
      seed: seed of the subsets; the same seed gives the same result.
      subsets: number of subsets.
      subset_size: samples per subset, at most the size of the smaller set.

    Raises:
      UserError: fewer than 2 samples, different numbers of features, values that are not finite,
        `subsets` below 1 or `subset_size` below 2.
    """
    check_features(2, **{"the first set": a, "the second set": b})
    if subsets < 1:
        raise UserError(f"subsets is {subsets}; a positive number is needed")
    if subset_size < 2:
        raise UserError(f"subset_size is {subset_size}; at least 2 is needed")
    rng = np.random.default_rng(seed)
    size = min(subset_size, len(a), len(b))
    estimates = [squared_mmd(_subset(rng, a, size), _subset(rng, b, size)) for _ in range(subsets)]
    return KernelDistance(float(np.mean(estimates)), float(np.std(estimates)))


def squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased estimate of the squared MMD.

    sum_{i != j} k(x_i, x_j) / (n (n - 1)) + the same of y - 2 mean_{i, j} k(x_i, y_j)
    (Gretton et al. 2012, equation 3).

    Args:
      x, y: float64 [n, F] and [m, F] with n, m >= 2.
    """
    return _mean_of_pairs(x) + _mean_of_pairs(y) - 2 * float(_kernel(x, y).mean())


def _mean_of_pairs(x: np.ndarray) -> float:
    values = _kernel(x, x)
    return float((values.sum() - np.trace(values)) / (len(x) * (len(x) - 1)))


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    values: np.ndarray = (x @ y.T / x.shape[1] + 1) ** 3
    return values


def _subset(rng: np.random.Generator, features: np.ndarray, size: int) -> np.ndarray:
    return features[rng.choice(len(features), size, replace=False)].astype(np.float64)


def _compute(comparison: Comparison) -> dict[str, float]:
    found = kernel_distance(comparison.features, comparison.real_features, seed=comparison.seed)
    suffix = comparison.network.suffix
    return {f"kid{suffix}": found.mean, f"kid_std{suffix}": found.std}


KID = Metric(_compute, better={"kid": "lower"})
