"""Shuffled, endless batches: batch `i` is a pure function of the seed and of `i`.

An interrupted run that has done `s` steps continues with `start=s`; no state of the data pipeline
has to be saved. The order comes from grain's index shuffle, which computes each index of a
permutation without a table, so any batch of any epoch costs the same.
"""

import sys
from collections.abc import Callable, Iterator

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.source import Batch, Source

# Separate streams of random numbers of one seed.
_ORDER, _FLIP = 0, 1


def batch_function(
    source: Source,
    batch_size: int,
    *,
    seed: int,
    flip: bool = False,
    process_index: int = 0,
    process_count: int = 1,
) -> Callable[[int], Batch]:
    """Return a pure function that maps a batch index to this process's part of that batch.

    Every epoch is a new permutation of all examples; batches continue across the ends of epochs.

    Args:
      source: the data.
      batch_size: examples in the global batch, over all processes.
      seed: 0 or more; determines order and flips.
      flip: mirror each image left to right with probability 1/2.
      process_index: index of the part, in [0, process_count).
      process_count: number of equal, contiguous parts of the global batch.

    Returns:
      `index -> {"image": [batch_size / process_count, ...], "label": [...]}`, dtypes as `Source`.

    Raises:
      UserError: `batch_size` is not a positive multiple of `process_count`, `process_index` is not
        in [0, process_count), `seed` is negative, or `flip` is true for points.
    """
    if batch_size < 1 or batch_size % process_count:
        raise UserError(
            f"batch_size is {batch_size}; a positive multiple of the number of processes "
            f"({process_count}) is needed"
        )
    if not 0 <= process_index < process_count:
        raise UserError(f"process_index is {process_index}; 0..{process_count - 1} is needed")
    if seed < 0:
        raise UserError(f"seed is {seed}; an integer >= 0 is needed")
    if flip and len(source.shape) != 3:
        raise UserError(
            f"flip is True; {source.name} holds points of shape {source.shape}, for which False "
            "is needed"
        )

    import grain

    # grain shuffles epoch e with `seed + e`; hashing keeps epochs of nearby seeds apart.
    order_seed = int(np.random.SeedSequence((seed, _ORDER)).generate_state(1)[0])
    order = grain.MapDataset.range(source.size).shuffle(seed=order_seed).repeat()
    part = batch_size // process_count
    mine = slice(process_index * part, (process_index + 1) * part)

    def batch(index: int) -> Batch:
        first = index * batch_size + mine.start
        examples = source.take(np.array([order[i] for i in range(first, first + part)]))
        if flip:
            # Drawn for the global batch, so that flips do not depend on the number of processes.
            coins = np.random.default_rng((seed, _FLIP, index)).random(batch_size)[mine] < 0.5
            image = examples["image"]
            mirrored = np.where(coins[:, None, None, None], image[:, :, ::-1], image)
            examples = {**examples, "image": mirrored}
        return examples

    return batch


def batches(
    source: Source,
    batch_size: int,
    *,
    seed: int,
    start: int = 0,
    flip: bool = False,
    process_index: int = 0,
    process_count: int = 1,
    prefetch: int = 4,
    threads: int = 2,
) -> Iterator[Batch]:
    """Endless batches `start`, `start + 1`, ..., read ahead by background threads.

    Args:
      source, batch_size, seed, flip, process_index, process_count: see `batch_function`.
      start: index of the first batch; a late one costs no more than an early one.
      prefetch: number of batches kept ready; 0 reads in the thread of the caller.
      threads: number of background threads. Two suffice for data in memory; decoding on demand
        gains from one per core.

    Returns:
      An iterator; its threads end when it is deleted.

    Raises:
      UserError: see `batch_function`, or a negative `start`.
    """
    if start < 0:
        raise UserError(f"start is {start}; an integer >= 0 is needed")
    batch = batch_function(
        source,
        batch_size,
        seed=seed,
        flip=flip,
        process_index=process_index,
        process_count=process_count,
    )
    import grain

    options = grain.ReadOptions(num_threads=min(threads, prefetch), prefetch_buffer_size=prefetch)
    return iter(grain.MapDataset.range(start, sys.maxsize).map(batch).to_iter_dataset(options))
