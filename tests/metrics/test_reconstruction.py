"""PSNR and SSIM against their formulas."""

import numpy as np
import pytest

from ddgan_jax.core.errors import UserError
from ddgan_jax.metrics.reconstruction import psnr, reconstruction_quality, ssim, ssim_protocol


def images(seed, *shape):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def test_psnr_is_ten_log_of_the_squared_range_over_the_error():
    a = images(0, 3, 9, 8, 2)
    b = a + np.array([0.1, 0.2, -0.4], np.float32)[:, None, None, None]
    expected = 10 * np.log10(4 / np.array([0.01, 0.04, 0.16]))
    np.testing.assert_allclose(psnr(a, b), expected, rtol=1e-5)
    np.testing.assert_allclose(psnr(b, a), expected, rtol=1e-5)
    c = images(1, 3, 9, 8, 2)
    error = np.mean((a.astype(np.float64) - c) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(psnr(a, c), 10 * np.log10(4 / error), rtol=1e-12)


def test_equal_images():
    a = images(2, 4, 11, 12, 3)
    assert psnr(a, a).tolist() == [np.inf] * 4
    np.testing.assert_allclose(ssim(a, a), np.ones(4), rtol=1e-12)
    assert psnr(a, a).dtype == ssim(a, a).dtype == np.float64
    assert psnr(a[:0], a[:0]).shape == (0,)


def ssim_by_hand(x, y, weights):
    """SSIM of images [H, W, C]: every window that lies within, one after the other."""
    width, (height, length, channels) = len(weights), x.shape
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    values = []
    for channel in range(channels):
        for i in range(height - width + 1):
            for j in range(length - width + 1):
                p, q = (z[i : i + width, j : j + width, channel].astype(np.float64) for z in (x, y))
                mean_p, mean_q = (weights * p).sum(), (weights * q).sum()
                var_p = (weights * (p - mean_p) ** 2).sum()
                var_q = (weights * (q - mean_q) ** 2).sum()
                both = (weights * (p - mean_p) * (q - mean_q)).sum()
                values.append(
                    ((2 * mean_p * mean_q + c1) * (2 * both + c2))
                    / ((mean_p**2 + mean_q**2 + c1) * (var_p + var_q + c2))
                )
    return np.mean(values)


@pytest.mark.parametrize("shape", [(2, 11, 11, 1), (2, 16, 13, 3), (1, 28, 28, 1)])
def test_ssim_with_gaussian_windows(shape):
    a = images(3, *shape)
    b = np.clip(a + 0.3 * images(4, *shape), -1, 1)
    line = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights = np.outer(line, line) / line.sum() ** 2
    expected = [ssim_by_hand(x, y, weights) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(ssim(a, b), expected, rtol=1e-9)
    assert "Gaussian window, sigma 1.5, 11 wide, data range 2" in ssim_protocol(shape)


@pytest.mark.parametrize("shape", [(2, 8, 8, 1), (2, 7, 40, 2), (1, 12, 10, 3)])
def test_ssim_of_small_images_with_uniform_windows(shape):
    a, b = images(5, *shape), images(6, *shape)
    weights = np.full((7, 7), 1 / 49)
    expected = [ssim_by_hand(x, y, weights) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(ssim(a, b), expected, rtol=1e-9)
    assert "uniform window, 7 wide, data range 2" in ssim_protocol(shape)


def test_ssim_tells_noise_from_a_shift_of_brightness():
    a = 0.3 * images(7, 5, 20, 20, 1) + 0.5
    noise = 0.3 * images(8, *a.shape) + 0.5
    assert (ssim(a, a + 0.1) > 0.95).all() and (np.abs(ssim(a, noise)) < 0.3).all()


def test_mistakes_are_one_line():
    a = images(9, 2, 8, 8, 1)
    for measure in (psnr, ssim):
        with pytest.raises(UserError, match=r"\[2, 8, 8, 1\] and \[1, 8, 8, 1\]; equal shapes"):
            measure(a, a[:1])
        with pytest.raises(UserError, match=r"uint8 \[2, 8, 8, 1\]; floats"):
            measure(a.astype(np.uint8), a.astype(np.uint8))
        with pytest.raises(UserError, match=r"float32 \[8, 8, 1\]; floats \[N, H, W, C\]"):
            measure(a[0], a[0])
        with pytest.raises(UserError, match="NaN"):
            measure(a * np.float32(np.nan), a)
    with pytest.raises(UserError, match="images are 6x8; SSIM needs sides of at least 7"):
        ssim(a[:, :6], a[:, :6])
    with pytest.raises(UserError, match="images are 8x5"):
        ssim_protocol((8, 5, 3))
    assert psnr(a[:, :3], a[:, :3] + 0.2).shape == (2,)


def test_quality_by_hand():
    zeros = np.zeros((2, 8, 8, 1), np.float32)
    assert abs(reconstruction_quality([(zeros, zeros + 0.2)])["psnr"] - 20) < 1e-4
    clipped = reconstruction_quality([(zeros, zeros + 5)])["psnr"]
    assert abs(clipped - 10 * np.log10(4)) < 1e-4  # an error of 1, not 5


def test_quality_is_the_mean_over_images_whatever_the_batches():
    a, b = images(10, 5, 8, 8, 1), images(11, 5, 8, 8, 1)
    named = {"mean": lambda x, y: np.abs(x - y).mean(axis=(1, 2, 3))}
    whole = reconstruction_quality([(a, b)], named)
    parts = reconstruction_quality([(a[:2], b[:2]), (a[2:], b[2:])], named)
    assert whole == parts and whole.keys() == {"psnr", "ssim", "mean"}
    assert whole["ssim"] == ssim(a, b).mean() and whole["psnr"] == psnr(a, b).mean()
    small = reconstruction_quality([(a[:, :6], b[:, :6])])
    assert small.keys() == {"psnr"}  # SSIM needs sides of 7 pixels
