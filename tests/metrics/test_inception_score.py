"""Inception score of constructed predictions."""

from itertools import pairwise

import numpy as np
import pytest

from ddgan_jax.core.errors import UserError
from ddgan_jax.metrics.inception_score import inception_score


def sure_of(classes, number):
    return 1e4 * np.eye(number, dtype=np.float32)[classes]


@pytest.mark.parametrize("number", [2, 10, 1000])
def test_sure_and_balanced_predictions_score_the_number_of_classes(number):
    found = inception_score(sure_of(np.tile(np.arange(number), 10), number))
    assert found.mean == pytest.approx(number, rel=1e-12) and found.std < 1e-9


@pytest.mark.parametrize("logits", [np.zeros(7), np.linspace(-1e4, 1e4, 7), [1e38, *[0] * 6]])
def test_equal_predictions_score_one(logits):
    found = inception_score(np.tile(np.asarray(logits, np.float32), (20, 1)))
    assert found.mean == pytest.approx(1, abs=1e-12) and found.std < 1e-12


def test_splits_follow_the_order_of_the_samples():
    """23 samples in 10 splits: edges 0, 2, 4, 6, 9, 11, 13, 16, 18, 20, 23."""
    edges = [0, 2, 4, 6, 9, 11, 13, 16, 18, 20, 23]
    logits = np.random.default_rng(0).normal(size=(23, 5)) * 3
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scores = []
    for start, end in pairwise(edges):
        part = p[start:end]
        divergence = (part * np.log(part / part.mean(axis=0))).sum(axis=1)
        scores.append(np.exp(divergence.mean()))
    found = inception_score(logits)
    assert found.mean == pytest.approx(np.mean(scores), rel=1e-12)
    assert found.std == pytest.approx(np.std(scores), rel=1e-12) and found.std > 0.1


def test_sorted_classes_score_less():
    """Each split then has one class, which is why samples have to come in random order."""
    assert inception_score(sure_of(np.repeat(np.arange(10), 5), 10)).mean == pytest.approx(1)
    assert inception_score(sure_of(np.repeat(np.arange(10), 5), 10), splits=1).mean == (
        pytest.approx(10)
    )


def test_adding_to_all_logits_changes_nothing():
    logits = np.random.default_rng(1).normal(size=(50, 6))
    moved = logits + np.random.default_rng(2).normal(size=(50, 1)) * 1000
    np.testing.assert_allclose(inception_score(moved), inception_score(logits), rtol=1e-9)


def test_mistakes_are_one_line():
    with pytest.raises(UserError, match="logits has 9 samples; at least 10"):
        inception_score(np.zeros((9, 3)))
    with pytest.raises(UserError, match="splits is 0"):
        inception_score(np.zeros((9, 3)), splits=0)
    with pytest.raises(UserError, match="10 rows with NaN"):
        inception_score(np.full((10, 3), np.nan))
