"""Fréchet distance of two sets of features, each taken for a Gaussian.

With features of Inception this is the FID (Heusel et al. 2017, "GANs trained by a two time-scale
update rule"). Moments are summed batch by batch, so the features themselves need not be kept.
"""

from typing import NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.metrics.checks import check_features, check_finite, check_same_width


class Moments(NamedTuple):
    """Attributes:
    count: number of samples.
    mean: float64 [F].
    covariance: float64 [F, F], unbiased: the sum of products over count - 1.
    """

    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs
    mean: np.ndarray
    covariance: np.ndarray


class Accumulator(NamedTuple):
    """Attributes:
    count: number of samples so far.
    mean: float64 [F] of these.
    scatter: float64 [F, F], sum of (x - mean) (x - mean)^T.
    """

    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs
    mean: np.ndarray
    scatter: np.ndarray


def empty(features: int) -> Accumulator:
    """Nothing seen yet, of so many features."""
    return Accumulator(0, np.zeros(features), np.zeros((features, features)))


def add(accumulator: Accumulator, features: np.ndarray) -> Accumulator:
    """Take in a batch, float [B, F] with any B >= 1.

    Scatters of two sets merge as S = S_a + S_b + n_a n_b / (n_a + n_b) d d^T, where d is the
    difference of their means (Chan, Golub and LeVeque 1979). Products are only ever taken of
    deviations from a mean, so features far from zero lose no digits.

    Raises:
      UserError: another number of features, or values that are not finite.
    """
    check_features(1, features=features)
    check_same_width({"the sum so far": len(accumulator.mean), "this batch": features.shape[1]})
    seen, new = accumulator.count, len(features)
    values = np.asarray(features, np.float64)
    mean = values.mean(axis=0)
    shift = mean - accumulator.mean
    # The rank-one term is one more row of the matrix whose products are summed.
    rows = np.vstack([values - mean, np.sqrt(seen * new / (seen + new)) * shift])
    return Accumulator(
        count=seen + new,
        mean=accumulator.mean + shift * (new / (seen + new)),
        scatter=accumulator.scatter + rows.T @ rows,
    )


def finish(accumulator: Accumulator) -> Moments:
    """Sums -> moments.

    Raises:
      UserError: fewer than 2 samples.
    """
    count, mean, scatter = accumulator
    if count < 2:
        raise UserError(f"a covariance of {count} samples; at least 2 are needed")
    return Moments(count, mean, scatter / (count - 1))


def moments(features: np.ndarray, block: int = 4096) -> Moments:
    """Moments of float [N, F], summed `block` rows at a time to spare memory.

    Raises:
      UserError: as `add` and `finish`.
    """
    check_features(2, features=features)
    accumulator = empty(features.shape[1])
    for start in range(0, len(features), block):
        accumulator = add(accumulator, features[start : start + block])
    return finish(accumulator)


def frechet_distance(a: Moments, b: Moments) -> float:
    """|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a^1/2 C_b C_a^1/2)^1/2) (Dowson and Landau 1982).

    With C = L L^T, the matrix whose root is taken is similar to M^T M for M = L_b^T L_a, so the
    trace of its root is the sum of the singular values of M. The factors L come from symmetric
    eigendecompositions. M is not squared, so there is no rounding error for a root to magnify, and
    covariances without full rank (fewer samples than features) are no special case.

    Returns:
      A number that is 0 for equal moments up to rounding, of either sign, of the traces.

    Raises:
      UserError: different numbers of features, fewer than 2 samples, moments that are not finite.
    """
    check_same_width({"the first set": len(a.mean), "the second set": len(b.mean)})
    for which, moments in (("first", a), ("second", b)):
        if moments.count < 2:
            raise UserError(f"the {which} set has {moments.count} samples; at least 2 are needed")
        check_finite(f"the mean of the {which} set", moments.mean[None])
        check_finite(f"the covariance of the {which} set", moments.covariance)
    cross = np.linalg.svd(_factor(b.covariance).T @ _factor(a.covariance), compute_uv=False)
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    return float(np.sum((a.mean - b.mean) ** 2) + traces - 2 * np.sum(cross))


def _factor(covariance: np.ndarray) -> np.ndarray:
    """L with L L^T = covariance."""
    values, vectors = np.linalg.eigh(covariance)
    # Eigenvalues this small, negative ones among them, are rounding errors of zero; their roots
    # would not be small.
    rounding = len(values) * np.finfo(np.float64).eps * values[-1]
    return vectors * np.sqrt(np.where(values > rounding, values, 0))
