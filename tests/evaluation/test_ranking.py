"""Which cells of a table have the best value of their column."""

import pytest

from ddgan_jax.evaluation.ranking import best_cells, direction
from ddgan_jax.metrics import METRICS


@pytest.mark.parametrize(
    ("name", "which"),
    [
        *(("fid", "lower"), ("frechet_digits_classifier", "lower"), ("kid", "lower")),
        *(("precision_vgg16", "higher"), ("recall", "higher"), ("inception_score", "higher")),
        *(("psnr", "higher"), ("ssim", "higher"), ("lpips_grey_as_colour", "lower")),
        *(("modes_covered", "higher"), ("modes_kl", "lower"), ("modes_kl_bias", "")),
        *(("label_accuracy_mnist_classifier", "higher"), ("confidence", ""), ("kid_std", "")),
        *(("fidelity", ""), ("mine", ""), ("class_balance", "higher")),
    ],
)
def test_directions(name, which):
    assert direction(name) == which


def test_every_metric_says_which_is_better():
    assert all(metric.better for metric in METRICS.values())


def test_best_cells():
    table = [
        ["run", "NFE", "frechet x", "recall", "kid", "mine", "precision", "s / 100 samples"],
        ["a", "1,000", "12.5", "0.3", "2 ± 0.1", "1", "nan", "0.2"],
        ["b", "2", "3.5 (3 to 4)", "0.7", "", "2", "0.9", "0.2"],
        ["c", "2", "4", "0.7", "", "3", "inf", "0.2"],
    ]
    assert best_cells(table) == {(2, 1), (3, 1), (2, 2), (2, 3), (3, 3)}
    assert best_cells(table[:2]) == best_cells(table[:1]) == frozenset()
