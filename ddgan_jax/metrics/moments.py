"""Mean and covariance of features, which can be summed batch by batch."""

from typing import NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.metrics.checks import check_features, check_same_width


class Moments(NamedTuple):
    """Mean and covariance of a set of features.

    Attributes:
      count: number of samples.
      mean: float64 [F].
      covariance: float64 [F, F], unbiased: the sum of products divided by count - 1.
    """

    count: int  # type: ignore[assignment]  # hides tuple.count
    mean: np.ndarray
    covariance: np.ndarray


class Accumulator(NamedTuple):
    """Sums over the samples seen so far.

    Attributes:
      count: number of samples.
      mean: float64 [F].
      scatter: float64 [F, F], sum of (x - mean) (x - mean)^T.
    """

    count: int  # type: ignore[assignment]  # hides tuple.count
    mean: np.ndarray
    scatter: np.ndarray


def empty(features: int) -> Accumulator:
    """The accumulator of no samples, for the given number of features."""
    return Accumulator(0, np.zeros(features), np.zeros((features, features)))


def add(accumulator: Accumulator, features: np.ndarray) -> Accumulator:
    """Add a batch of features to an accumulator.

    Two scatter matrices merge as S = S_a + S_b + n_a n_b / (n_a + n_b) d d^T, where d is the
    difference of the means (Chan, Golub and LeVeque 1979). Only deviations from a mean are
    multiplied, so features far from zero lose no digits.

    Args:
      accumulator: sums so far.
      features: float [B, F] with B >= 1.

    Raises:
      UserError: a different number of features, or values that are not finite.
    """
    check_features(1, features=features)
    check_same_width({"the sum so far": len(accumulator.mean), "this batch": features.shape[1]})
    seen, new = accumulator.count, len(features)
    values = np.asarray(features, np.float64)
    mean = values.mean(axis=0)
    shift = mean - accumulator.mean
    # The rank-one term is one more row of the matrix of deviations.
    rows = np.vstack([values - mean, np.sqrt(seen * new / (seen + new)) * shift])
    return Accumulator(
        count=seen + new,
        mean=accumulator.mean + shift * (new / (seen + new)),
        scatter=accumulator.scatter + rows.T @ rows,
    )


def finish(accumulator: Accumulator) -> Moments:
    """Moments of all samples that were added.

    Raises:
      UserError: fewer than 2 samples.
    """
    count, mean, scatter = accumulator
    if count < 2:
        raise UserError(f"a covariance of {count} samples; at least 2 are needed")
    return Moments(count, mean, scatter / (count - 1))


def moments(features: np.ndarray, block: int = 4096) -> Moments:
    """Moments of features in memory.

    Args:
      features: float [N, F].
      block: rows converted to float64 at a time, to save memory.

    Raises:
      UserError: see `add` and `finish`.
    """
    check_features(2, features=features)
    accumulator = empty(features.shape[1])
    for start in range(0, len(features), block):
        accumulator = add(accumulator, features[start : start + block])
    return finish(accumulator)
