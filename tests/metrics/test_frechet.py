"""The Fréchet distance against closed forms, and its moments against numpy."""

import numpy as np
import pytest
from scipy import linalg

from ddgan_jax.core.errors import UserError
from ddgan_jax.metrics import moments as running
from ddgan_jax.metrics.frechet import frechet_distance
from ddgan_jax.metrics.moments import Moments, moments


def rotation(rng, size):
    return np.linalg.qr(rng.normal(size=(size, size)))[0]


def gaussian(mean, covariance, count=100):
    return Moments(count, np.asarray(mean, np.float64), np.asarray(covariance, np.float64))


def total(*sets):
    """Sum of the traces, the scale of the rounding error of the distance."""
    return sum(np.trace(s.covariance) for s in sets)


@pytest.mark.parametrize("size", [1, 2, 7, 64])
def test_commuting_covariances(size):
    """Covariances with common eigenvectors: |d m|^2 + sum (sqrt l_a - sqrt l_b)^2."""
    rng = np.random.default_rng(size)
    v = rotation(rng, size)
    la, lb = rng.uniform(0.1, 9, size), rng.uniform(0.1, 9, size)
    ma, mb = rng.normal(size=size), rng.normal(size=size)
    a, b = gaussian(ma, v * la @ v.T), gaussian(mb, v * lb @ v.T)
    expected = np.sum((ma - mb) ** 2) + np.sum((np.sqrt(la) - np.sqrt(lb)) ** 2)
    assert expected > 0.1
    np.testing.assert_allclose(frechet_distance(a, b), expected, rtol=1e-11)


def test_covariances_that_do_not_commute():
    ca, cb = np.array([[2.0, 0.9], [0.9, 0.5]]), np.array([[0.3, -0.4], [-0.4, 1.5]])
    assert np.abs(ca @ cb - cb @ ca).max() > 0.4
    a, b = gaussian([1, -2], ca), gaussian([0.5, 3], cb)
    means, traces = 0.25 + 25, np.trace(ca) + np.trace(cb)
    # The root of a 2x2 matrix with positive eigenvalues has the trace sqrt(tr + 2 sqrt(det)).
    root = np.sqrt(np.trace(ca @ cb) + 2 * np.sqrt(np.linalg.det(ca) * np.linalg.det(cb)))
    np.testing.assert_allclose(frechet_distance(a, b), means + traces - 2 * root, rtol=1e-13)
    root = np.trace(linalg.sqrtm(ca @ cb)).real
    np.testing.assert_allclose(frechet_distance(a, b), means + traces - 2 * root, rtol=1e-12)


@pytest.mark.parametrize(("count", "size"), [(30, 100), (200, 100), (2, 5)])
def test_a_set_has_no_distance_from_itself(count, size):
    a = moments(np.random.default_rng(0).lognormal(size=(count, size)))
    assert abs(frechet_distance(a, a)) < 1e-12 * total(a)


@pytest.mark.parametrize(("n", "m"), [(20, 30), (20, 200), (200, 20), (2, 2)])
def test_fewer_samples_than_features(n, m):
    rng = np.random.default_rng(n + m)
    x = rng.normal(size=(n, 64)) * np.exp(-np.arange(64) / 10)
    y = rng.normal(size=(m, 64)) @ rotation(rng, 64) * 0.5 + 0.1
    a, b = moments(x), moments(y)
    rest = np.sum((a.mean - b.mean) ** 2) + total(a, b)
    # Without ever forming a covariance: the singular values of the product of the samples.
    product = (x - x.mean(axis=0)) @ (y - y.mean(axis=0)).T
    root = np.linalg.svd(product, compute_uv=False).sum() / np.sqrt((n - 1) * (m - 1))
    assert abs(frechet_distance(a, b) - (rest - 2 * root)) < 1e-12 * total(a, b)
    # sqrtm of a product without full rank is good to a few digits less.
    root = np.trace(linalg.sqrtm(a.covariance @ b.covariance)).real
    assert abs(frechet_distance(a, b) - (rest - 2 * root)) < 1e-5 * total(a, b)


def test_the_order_of_the_sets_does_not_matter():
    rng = np.random.default_rng(1)
    a = moments(rng.normal(size=(20, 50)))
    b = moments(rng.normal(size=(300, 50)) * np.linspace(0.01, 2, 50))
    assert abs(frechet_distance(a, b) - frechet_distance(b, a)) < 1e-12 * total(a, b)


def test_translation_moves_the_mean_term_only():
    rng = np.random.default_rng(2)
    x, y, shift = rng.normal(size=(80, 9)), rng.normal(size=(90, 9)), rng.normal(size=9) * 5
    a, b, moved = moments(x), moments(y), moments(y + shift)
    np.testing.assert_allclose(moved.covariance, b.covariance, atol=1e-13)
    expected = np.sum((a.mean - b.mean - shift) ** 2) - np.sum((a.mean - b.mean) ** 2)
    assert abs(expected) > 10
    change = frechet_distance(a, moved) - frechet_distance(a, b)
    np.testing.assert_allclose(change, expected, rtol=1e-11)
    both = frechet_distance(moments(x + shift), moved)
    np.testing.assert_allclose(both, frechet_distance(a, b), rtol=1e-11)


@pytest.mark.parametrize("batches", [[100], [1] * 100, [1, 2, 97], [33, 33, 34], [99, 1]])
def test_moments_do_not_depend_on_the_batches(batches):
    x = np.random.default_rng(3).lognormal(size=(100, 6)).astype(np.float32)
    accumulator = running.empty(6)
    for part in np.split(x, np.cumsum(batches)[:-1]):
        before = [np.copy(field) for field in accumulator]
        after = running.add(accumulator, part)
        assert all(np.array_equal(*pair) for pair in zip(before, accumulator, strict=True))
        accumulator = after
    found = running.finish(accumulator)
    assert found.count == 100 and found.covariance.dtype == np.float64
    exact = x.astype(np.float64)
    np.testing.assert_allclose(found.mean, exact.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(found.covariance, np.cov(exact.T), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(moments(x, block=7).covariance, found.covariance, atol=1e-13)


def test_moments_of_features_far_from_zero():
    """Sums of squares would have lost all digits of the covariance: 1e-16 * (1e8)^2 is 1."""
    x = np.random.default_rng(4).normal(size=(500, 3))
    near, far = moments(x), moments(x + 1e8, block=50)
    np.testing.assert_allclose(far.covariance, near.covariance, atol=1e-6)


def test_mistakes_are_one_line():
    a, b = moments(np.eye(3)), moments(np.eye(4))
    with pytest.raises(UserError, match=r"first set 3, the second set 4; features of one network"):
        frechet_distance(a, b)
    with pytest.raises(UserError, match="second set has 1 samples; at least 2"):
        frechet_distance(a, a._replace(count=1))
    with pytest.raises(UserError, match="covariance of the first set has 3 rows with NaN"):
        frechet_distance(a._replace(covariance=np.full((3, 3), np.nan)), a)
    with pytest.raises(UserError, match="covariance of 1 samples; at least 2"):
        running.finish(running.add(running.empty(2), np.ones((1, 2))))
    with pytest.raises(UserError, match="has 1 samples; at least 2"):
        moments(np.ones((1, 2)))
    with pytest.raises(UserError, match="the sum so far 2, this batch 3"):
        running.add(running.empty(2), np.ones((5, 3)))
    with pytest.raises(UserError, match=r"uint8 \[4, 2\]; floats \[samples, features\]"):
        moments(np.ones((4, 2), np.uint8))
    bad = np.ones((5, 2), np.float32)
    bad[2], bad[3] = np.nan, (np.inf, -np.inf)
    with pytest.raises(UserError, match="features has 2 rows with NaN or infinity, the first is 2"):
        moments(bad)
