"""Inception score: high if each sample has a clear class and all classes are equally frequent.

Salimans et al. 2016, "Improved techniques for training GANs".
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.metrics.checks import check_features
from ddgan_jax.metrics.metric import Comparison, Metric


class InceptionScore(NamedTuple):
    """Inception score over the splits of a set of samples.

    Attributes:
      mean: the score, from 1 to the number of classes.
      std: standard deviation over the splits.
    """

    mean: float
    std: float


def inception_score(logits: np.ndarray, splits: int = 10) -> InceptionScore:
    """exp(mean_i KL(p(y | x_i) || p(y))) with p(y) = mean_i p(y | x_i), of each split.

    Splits are contiguous: split i of S has the samples floor(i N / S) up to floor((i + 1) N / S).
    All samples are used; sizes differ by at most one if S does not divide N.

    Args:
      logits: float [N, K], before the softmax.
      splits: S.

    Raises:
      UserError: fewer samples than splits, `splits` below 1, logits that are not finite.
    """
    if splits < 1:
        raise UserError(f"splits is {splits}; a positive number is needed")
    check_features(splits, logits=logits)
    edges = [i * len(logits) // splits for i in range(splits + 1)]
    parts = [logits[start:end] for start, end in pairwise(edges)]
    scores = [_score(np.asarray(part, np.float64)) for part in parts]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)))


def _score(logits: np.ndarray) -> float:
    log_p = logits - _log_sum_exp(logits, axis=1)
    log_marginal = _log_sum_exp(log_p, axis=0) - np.log(len(log_p))
    return float(np.exp(np.mean(np.sum(np.exp(log_p) * (log_p - log_marginal), axis=1))))


def _log_sum_exp(x: np.ndarray, axis: int) -> np.ndarray:
    largest = x.max(axis=axis, keepdims=True)
    total: np.ndarray = largest + np.log(np.exp(x - largest).sum(axis=axis, keepdims=True))
    return total


def _compute(comparison: Comparison) -> dict[str, float]:
    assert comparison.logits is not None  # needs_logits
    found, suffix = inception_score(comparison.logits), comparison.network.suffix
    return {f"inception_score{suffix}": found.mean, f"inception_score_std{suffix}": found.std}


INCEPTION_SCORE = Metric(
    _compute,
    accepts=lambda network: network.is_inception,
    needs_logits=True,
    without_logits="the weights file of Inception does not include the classifier layer "
    "(fc.weight); that of pt_inception-2015-12-05-6726825d.pth does",
    better={"inception_score": "higher"},
)
