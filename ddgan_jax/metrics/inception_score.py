"""Inception score: are samples clearly of some class, and are all classes there?

Salimans et al. 2016, "Improved techniques for training GANs".
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.metrics.checks import check_features


class InceptionScore(NamedTuple):
    """Attributes:
    mean: over the splits; from 1 to the number of classes.
    std: over the splits.
    """

    mean: float
    std: float


def inception_score(logits: np.ndarray, splits: int = 10) -> InceptionScore:
    """exp(mean_i KL(p(y | x_i) || p(y))), p(y) = mean_i p(y | x_i), for each split.

    Splits are taken in the order of the samples. Split i of S is samples floor(i N / S) up to
    floor((i + 1) N / S): all are used, and sizes differ by one at most where S does not divide N.

    Args:
      logits: float [N, K], before the softmax.
      splits: S.

    Raises:
      UserError: fewer samples than splits, no split, logits that are not finite.
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
    return largest + np.log(np.exp(x - largest).sum(axis=axis, keepdims=True))
