"""Batches are filled to one size: one compilation, results for the given rows only."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddgan_jax.parallel.batching import fill_rows, in_batches, rebatch


class Pair(NamedTuple):
    double: jax.Array
    total: jax.Array | None


@pytest.mark.parametrize("count", [1, 4, 8, 11])
def test_results_are_those_of_the_rows_and_compiled_once(count):
    compilations = []

    @jax.jit
    def function(x, y):
        compilations.append(x.shape)
        return Pair(2 * x, jnp.sum(x, axis=1) + y)

    x = np.arange(3 * count, dtype=np.float32).reshape(count, 3)
    y = np.arange(count, dtype=np.float32)
    found = list(in_batches(function, [x, y], 4))
    assert compilations == [(4, 3)]
    assert [len(part.double) for part in found[:-1]] == [4] * (len(found) - 1)
    assert all(isinstance(part.double, np.ndarray) for part in found)
    np.testing.assert_array_equal(np.concatenate([part.double for part in found]), 2 * x)
    np.testing.assert_array_equal(np.concatenate([part.total for part in found]), x.sum(1) + y)


def test_absent_results_stay_absent():
    (found,) = in_batches(lambda x: Pair(x, None), [np.ones((2, 1))], 3)
    assert found.total is None and found.double.shape == (2, 1)


def test_rows_are_repeated_from_the_first_on():
    rows = np.array([[1, 2], [3, 4]])
    assert fill_rows(rows, 2) is rows
    assert fill_rows(rows, 5).tolist() == [[1, 2], [3, 4], [1, 2], [3, 4], [1, 2]]


def test_regrouped_batches_keep_the_order():
    parts = [np.arange(0, 3), np.arange(3, 3), np.arange(3, 11), np.arange(11, 12)]
    found = [batch.tolist() for batch in rebatch(parts, 5)]
    assert found == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11]]
    assert list(rebatch([], 5)) == []
    assert [len(batch) for batch in rebatch([np.arange(10)], 5)] == [5, 5]
