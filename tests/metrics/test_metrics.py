"""Metrics on constructed sets with known answers."""

import numpy as np
import pytest

from ddgan_jax.cli import main
from ddgan_jax.core.errors import UserError
from ddgan_jax.data import digits
from ddgan_jax.data.gaussians import CENTERS, SIGMA, gaussians25
from ddgan_jax.evaluation import digits as digit_metrics
from ddgan_jax.evaluation.modes import stacked_labels
from ddgan_jax.features.classifier import classify, load_classifier
from ddgan_jax.metrics.modes import mode_coverage, stacked_modes
from ddgan_jax.metrics.nearest import nearest_distance


def test_mode_coverage_of_the_data_itself():
    points = gaussians25("test").take(np.arange(20_000))["image"]
    found = mode_coverage(points, CENTERS, SIGMA)
    assert found.covered == 25
    assert abs(found.share - (1 - np.exp(-4.5))) < 0.005  # a 2-D Gaussian within 3 sigma
    assert found.balance > 0.85


def test_mode_coverage_of_constructed_points():
    far = np.full((10, 2), 9.0, np.float32)
    assert mode_coverage(far, CENTERS, SIGMA) == (0, 0.0, 0.0)
    half = np.concatenate([np.repeat(CENTERS[:24], 5, axis=0), np.full((120, 2), 9.0)])
    assert mode_coverage(half, CENTERS, SIGMA) == (24, 0.5, 0.0)
    edge = CENTERS + np.array([2.9 * SIGMA, 0])
    assert mode_coverage(edge, CENTERS, SIGMA).share == 1
    assert mode_coverage(CENTERS + np.array([3.1 * SIGMA, 0]), CENTERS, SIGMA).share == 0


def test_nearest_distance_against_a_loop():
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 256, (n, 8, 8, 1), np.uint8) for n in (5, 7))
    expected = [
        min(np.sqrt(np.mean((x.astype(float) - y.astype(float)) ** 2)) for y in b) for x in a
    ]
    np.testing.assert_allclose(nearest_distance(a, b), expected, rtol=1e-6)


def test_digit_quality_tells_digits_from_noise_and_copies():
    train = digits("train").take(np.arange(1500))
    test = digits("test").take(np.arange(297))
    classifier = load_classifier("digits")
    noise = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 1), np.uint8)
    real, random, copies, ones = (
        digit_metrics.digit_quality(classifier, images)
        for images in (
            test["image"],
            noise,
            train["image"][:300],
            train["image"][train["label"] == 1],
        )
    )
    assert real.report.confidence > random.report.confidence + 0.1
    assert real.report.sure > random.report.sure + 0.3
    assert real.nearest < random.nearest and copies.nearest == 0
    assert real.report.balance > 0.95 and ones.report.balance < 0.2
    assert real.coverage == 0 and ones.coverage > copies.coverage > 0


def test_digit_quality_command(tmp_path, capsys):
    bad = tmp_path / "bad.npz"
    np.savez(bad, images=np.zeros((3, 4, 4, 1), np.uint8))
    assert main(["digits", str(bad)]) == 1
    assert "images (8, 8, 1) are needed" in capsys.readouterr().err
    assert main(["digits", str(tmp_path / "none.npz")]) == 1
    assert "there is no such file" in capsys.readouterr().err


def test_digit_quality_command_prints_a_table(tmp_path, capsys):
    good = tmp_path / "good.npz"
    np.savez(good, images=digits("test").take(np.arange(100))["image"])
    assert main(["digits", str(good)]) == 0
    out = capsys.readouterr().out
    assert "100 samples" in out and "297 held-out digits" in out


def test_mode_coverage_command(tmp_path, capsys):
    good, bad, stacked = (tmp_path / f"{name}.npz" for name in ("good", "bad", "stacked"))
    np.savez(good, images=CENTERS)
    np.savez(bad, images=np.zeros((3, 8, 8, 1)))
    np.savez(stacked, images=np.zeros((3, 32, 32, 3), np.uint8))
    assert main(["modes", str(good)]) == 0
    assert "25 samples: 25 of 25 modes, 100.0 %" in capsys.readouterr().out
    assert main(["modes", str(bad)]) == 1 and main(["modes", str(tmp_path / "none.npz")]) == 1
    capsys.readouterr()
    assert main(["modes", str(stacked)]) == 0
    out = capsys.readouterr().out
    assert "3 samples: 1 of 1000 modes, KL 6.9078 nats" in out and "mnist-classifier" in out
    np.savez(bad, images=np.zeros((3, 8, 8, 1), np.uint8))
    assert main(["modes", str(bad)]) == 1
    assert "points (2,) or stacked digits (H, W, 3)" in capsys.readouterr().err


TRIPLES = np.stack(np.unravel_index(np.arange(1000), (10, 10, 10)), axis=1)


def test_stacked_modes_of_constructed_labels():
    assert stacked_modes(TRIPLES) == (1000, pytest.approx(0, abs=1e-12), 999 / 2000)
    one = stacked_modes(np.full((50, 3), 7))
    assert one == (1, pytest.approx(np.log(1000)), 999 / 100)
    assert stacked_modes(TRIPLES[::2])[:2] == (500, pytest.approx(np.log(2)))
    # Each of 1,000 once and one of them 1,000 times more: p = 1001/2000 and 999 times 1/2000.
    uneven = stacked_modes(np.concatenate([TRIPLES, np.full((1000, 3), 4)]))
    expected = 1001 / 2000 * np.log(1001 / 2) + 999 / 2000 * np.log(1 / 2)
    assert uneven[:2] == (1000, pytest.approx(expected))


def test_stacked_modes_against_the_triples_of_the_data():
    data = np.zeros(1000)
    data[[123, 456]] = 3, 1  # counts: triples (1, 2, 3) and (4, 5, 6)
    labels = np.array([[1, 2, 3]] * 3 + [[4, 5, 6]])
    assert stacked_modes(labels, data) == (2, pytest.approx(0), 1 / 8)
    assert stacked_modes(labels, data / 4) == stacked_modes(labels, data)
    equal = stacked_modes(labels[2:], data)
    assert equal.kl == pytest.approx(0.5 * np.log(0.5 / 0.75) + 0.5 * np.log(0.5 / 0.25))
    assert stacked_modes(labels[:, ::-1], data).kl == np.inf


def test_bias_is_the_divergence_of_a_perfect_generator():
    rng = np.random.default_rng(0)
    found = [stacked_modes(rng.integers(0, 10, (26_000, 3))) for _ in range(40)]
    assert found[0].bias == pytest.approx(0.01921, abs=1e-5)
    # Terms of order 1 / N^2 add 0.6 %; 40 draws leave 0.7 % of noise.
    assert np.mean([f.kl for f in found]) == pytest.approx(found[0].bias, rel=0.02)


@pytest.mark.parametrize(
    "labels, histogram, says",
    [
        (np.zeros((5, 2), int), None, r"labels are int64 \(5, 2\); integers \(N, 3\)"),
        (np.zeros((0, 3), int), None, r"integers \(N, 3\)"),
        (np.zeros((5, 3)), None, "labels are float64"),
        (np.full((5, 3), 10), None, r"labels are in 10\.\.10; digits 0\.\.9"),
        (np.full((5, 3), -1), None, r"digits 0\.\.9"),
        (np.zeros((5, 3), int), np.ones(10), r"data_histogram has shape \(10,\)"),
        (np.zeros((5, 3), int), np.zeros(1000), "not all 0"),
        (np.zeros((5, 3), int), np.full(1000, np.nan), "finite"),
    ],
)
def test_stacked_modes_refuses_what_it_cannot_count(labels, histogram, says):
    with pytest.raises(UserError, match=says):
        stacked_modes(labels, histogram)


def test_stacked_labels_reads_the_channels_in_order():
    classifier, images = load_classifier("digits"), digits("test").take(np.arange(297))["image"]
    order = np.random.default_rng(0).integers(0, 297, (100, 3))
    stacked = np.concatenate([images[order[:, c]] for c in range(3)], axis=-1)
    found = stacked_labels(stacked, classifier, batch_size=64)
    np.testing.assert_array_equal(found, classify(classifier, images).argmax(axis=1)[order])
