"""Metrics on constructed sets with known answers."""

import numpy as np
import pytest

from ddgan_jax.data import digits
from ddgan_jax.data.gaussians import CENTRES, SIGMA, gaussians25
from ddgan_jax.metrics import digits as digit_metrics
from ddgan_jax.metrics.modes import mode_coverage


def test_mode_coverage_of_the_data_itself():
    points = gaussians25("test").take(np.arange(20_000))["image"]
    found = mode_coverage(points, CENTRES, SIGMA)
    assert found.covered == 25
    assert abs(found.share - (1 - np.exp(-4.5))) < 0.005  # a 2-D Gaussian within 3 sigma
    assert found.balance > 0.85


def test_mode_coverage_of_constructed_points():
    far = np.full((10, 2), 9.0, np.float32)
    assert mode_coverage(far, CENTRES, SIGMA) == (0, 0.0, 0.0)
    half = np.concatenate([np.repeat(CENTRES[:24], 5, axis=0), np.full((120, 2), 9.0)])
    assert mode_coverage(half, CENTRES, SIGMA) == (24, 0.5, 0.0)
    edge = CENTRES + np.array([2.9 * SIGMA, 0])
    assert mode_coverage(edge, CENTRES, SIGMA).share == 1
    assert mode_coverage(CENTRES + np.array([3.1 * SIGMA, 0]), CENTRES, SIGMA).share == 0


def test_nearest_distance_against_a_loop():
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 256, (n, 8, 8, 1), np.uint8) for n in (5, 7))
    expected = [
        min(np.sqrt(np.mean((x.astype(float) - y.astype(float)) ** 2)) for y in b) for x in a
    ]
    np.testing.assert_allclose(digit_metrics.nearest_distance(a, b), expected, rtol=1e-6)


def test_digit_quality_tells_digits_from_noise_and_copies(capsys, tmp_path):
    train = digits("train").take(np.arange(1500))
    test = digits("test").take(np.arange(297))
    classifier = digit_metrics.train_classifier(train["image"], train["label"], steps=150)
    guess = digit_metrics.probabilities(classifier, test["image"]).argmax(axis=1)
    assert (guess == test["label"]).mean() > 0.9
    real = digit_metrics.digit_quality(classifier, test["image"])
    noise = digit_metrics.digit_quality(
        classifier, np.random.default_rng(0).integers(0, 256, (300, 8, 8, 1), np.uint8)
    )
    copies = digit_metrics.digit_quality(classifier, train["image"][:300])
    ones = digit_metrics.digit_quality(classifier, train["image"][train["label"] == 1])
    assert real.confidence > noise.confidence + 0.1
    assert real.nearest < noise.nearest and copies.nearest == 0
    assert real.balance > 0.95 and ones.balance < 0.3
    assert real.coverage == 0 and ones.coverage > copies.coverage > 0


def test_digit_quality_command(tmp_path, capsys):
    bad = tmp_path / "bad.npz"
    np.savez(bad, images=np.zeros((3, 4, 4, 1), np.uint8))
    assert digit_metrics.main([str(bad)]) == 1
    assert "images (8, 8, 1) are needed" in capsys.readouterr().err
    assert digit_metrics.main([str(tmp_path / "none.npz")]) == 1
    assert "there is no such file" in capsys.readouterr().err


@pytest.mark.slow
def test_digit_quality_command_prints_a_table(tmp_path, capsys):
    good = tmp_path / "good.npz"
    np.savez(good, images=digits("test").take(np.arange(100))["image"])
    assert digit_metrics.main([str(good)]) == 0
    out = capsys.readouterr().out
    assert "100 samples" in out and "297 held-out digits" in out


def test_mode_coverage_command(tmp_path, capsys):
    from ddgan_jax.metrics.modes import main

    good, bad = tmp_path / "good.npz", tmp_path / "bad.npz"
    np.savez(good, images=CENTRES)
    np.savez(bad, images=np.zeros((3, 8, 8, 1)))
    assert main([str(good)]) == 0
    assert "25 samples: 25 of 25 modes, 100.0 %" in capsys.readouterr().out
    assert main([str(bad)]) == 1 and main([str(tmp_path / "none.npz")]) == 1
