"""The kernel distance against double loops, and that it is unbiased."""

import numpy as np
import pytest

from ddgan_jax.core.errors import UserError
from ddgan_jax.metrics.kernel import kernel_distance, squared_mmd


def kernel(x, y):
    return (sum(p * q for p, q in zip(x, y, strict=True)) / len(x) + 1) ** 3


def by_loops(x, y):
    def within(z):
        pairs = [(i, j) for i in range(len(z)) for j in range(len(z)) if i != j]
        return sum(kernel(z[i], z[j]) for i, j in pairs) / len(pairs)

    between = [kernel(p, q) for p in x for q in y]
    return within(x) + within(y) - 2 * sum(between) / len(between)


@pytest.mark.parametrize(("n", "m", "size"), [(2, 2, 1), (5, 9, 3), (12, 4, 6)])
def test_squared_mmd_against_double_loops(n, m, size):
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(n, size)), rng.normal(size=(m, size)) + 0.3
    np.testing.assert_allclose(squared_mmd(x, y), by_loops(x, y), rtol=1e-11)


def test_squared_mmd_of_points():
    """All points of a set in one place: k(a, a) + k(b, b) - 2 k(a, b), by hand."""
    a, b = np.full((4, 2), 1.0), np.full((3, 2), 2.0)  # kernels (1 + 1)^3, (4 + 1)^3, (2 + 1)^3
    assert squared_mmd(a, b) == pytest.approx(8 + 125 - 2 * 27)


def test_estimates_are_unbiased():
    """Small sets of one distribution: their mean estimate is 0, which a biased one would miss."""
    rng = np.random.default_rng(0)
    unbiased, biased = [], []
    for _ in range(2000):
        x, y = rng.normal(size=(2, 10, 3))
        unbiased.append(squared_mmd(x, y))
        # What the mean over all pairs, i = j among them, would be larger by.
        surplus = 0.0
        for z in (x, y):
            values = (z @ z.T / 3 + 1) ** 3
            surplus += values.mean() - (values.sum() - np.trace(values)) / (10 * 9)
        biased.append(unbiased[-1] + surplus)
    mean, error = np.mean(unbiased), np.std(unbiased) / np.sqrt(2000)
    assert abs(mean) < 4 * error
    assert abs(np.mean(biased)) > 20 * error


def test_distance_is_the_mean_over_subsets():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(60, 4)), rng.normal(size=(50, 4)) + 0.5
    found = kernel_distance(x, y, seed=3, subsets=400, subset_size=20)
    assert abs(found.mean - squared_mmd(x, y)) < 4 * found.std / np.sqrt(400)
    assert found.std > 0
    assert found == kernel_distance(x, y, seed=3, subsets=400, subset_size=20)
    other = kernel_distance(x, y, seed=4, subsets=400, subset_size=20)
    assert other.mean != found.mean
    larger = kernel_distance(x, y, seed=3, subsets=400, subset_size=45)
    assert larger.std < found.std / 2
    two = kernel_distance(x, y, seed=3, subsets=2, subset_size=20)
    first = kernel_distance(x, y, seed=3, subsets=1, subset_size=20).mean
    assert first == pytest.approx(two.mean + two.std) or first == pytest.approx(two.mean - two.std)


def test_small_sets_are_used_whole():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 9, 4)).astype(np.float32)
    found = kernel_distance(x, y, subsets=3)
    expected = squared_mmd(x.astype(np.float64), y.astype(np.float64))
    assert found.mean == pytest.approx(expected, rel=1e-12) and found.std < 1e-12
    assert abs(squared_mmd(x, y) - expected) > 1e-10  # float32 kernels are not as good


def test_mistakes_are_one_line():
    x = np.ones((5, 2))
    with pytest.raises(UserError, match="subsets is 0"):
        kernel_distance(x, x, subsets=0)
    with pytest.raises(UserError, match="subset_size is 1; at least 2"):
        kernel_distance(x, x, subset_size=1)
    with pytest.raises(UserError, match="second set has 1 samples; at least 2"):
        kernel_distance(x, x[:1])
    with pytest.raises(UserError, match="first set 2, the second set 1"):
        kernel_distance(x, x[:, :1])
