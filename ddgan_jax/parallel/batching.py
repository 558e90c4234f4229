"""Batches of one size for compiled functions, so that each is compiled only once."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import jax
import numpy as np

from ddgan_jax.core.types import PyTree


def fill_rows(rows: np.ndarray, size: int) -> np.ndarray:
    """Repeat rows from the first on until there are `size` of them.

    Args:
      rows: [n, ...] with 1 <= n <= size.
      size: number of rows returned.

    Returns:
      [size, ...] that begins with `rows`.
    """
    return rows if len(rows) == size else np.resize(rows, (size, *rows.shape[1:]))


def in_batches(
    function: Callable[..., PyTree], arrays: Sequence[np.ndarray], size: int
) -> Iterator[PyTree]:
    """Apply a function to arrays in batches of exactly `size` rows.

    The last batch is filled by repeating its rows (`fill_rows`), and the results of the repeated
    rows are dropped. A jitted `function` is therefore compiled for one shape only.

    Args:
      function: one batch of each array -> pytree of arrays [size, ...]; row i of the results must
        depend on row i of the batch only.
      arrays: [N, ...] each, all with the same N.
      size: rows per call.

    Yields:
      The results on the host, numpy arrays [size, ...]; the last ones may have fewer rows.
    """
    for start in range(0, len(arrays[0]), size):
        rows = [array[start : start + size] for array in arrays]
        results = jax.device_get(function(*(fill_rows(array, size) for array in rows)))
        kept = len(rows[0])
        yield jax.tree.map(lambda x, kept=kept: x[:kept], results)


def rebatch(batches: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Regroup batches of any sizes into batches of `size` rows, in the same order.

    Args:
      batches: arrays [n, ...], n may differ and may be 0.
      size: rows per batch returned; the last batch may have fewer.
    """
    waiting: list[np.ndarray] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += len(batch)
        while count >= size:
            joined = np.concatenate(waiting)
            yield joined[:size]
            waiting, count = [joined[size:]], count - size
    if count:
        yield np.concatenate(waiting)
