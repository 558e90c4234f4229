"""Shuffled, endless batches. Batch `i` is a pure function of the seed and of `i`.

Nothing has to be saved to go on after an interruption: a run that has done `s` steps continues
with `start=s`. The order of the examples comes from grain's index shuffle, which permutes indices
one at a time, without a table: any batch of any epoch is at once at hand.
"""

import sys
from collections.abc import Callable, Iterator

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.source import Batch, Source

# Tells the streams of random numbers of one seed apart.
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
    """Returns the pure function from the number of a batch to this process's part of it.

    Every epoch is a new permutation of all examples; batches run across the borders of epochs.

    Args:
      source: where examples come from.
      batch_size: examples in the global batch, over all processes.
      seed: 0 or more; decides order and flips.
      flip: mirror each image left to right with probability 1/2.
      process_index: which of the parts of the global batch.
      process_count: number of contiguous equal parts; their concatenation is the global batch.

    Returns:
      `index -> {"image": [batch_size / process_count, ...], "label": [...]}`, dtypes as `Source`.

    Raises:
      UserError: a batch size that does not divide, a negative seed, flipping points.
    """
    if batch_size < 1 or batch_size % process_count:
        raise UserError(
            f"batch_size={batch_size}: allowed: a positive multiple of the number of "
            f"processes ({process_count})"
        )
    if not 0 <= process_index < process_count:
        raise UserError(f"process_index={process_index}: allowed: 0..{process_count - 1}")
    if seed < 0:
        raise UserError(f"seed={seed}: allowed: 0 or more")
    if flip and len(source.shape) != 3:
        raise UserError(f"flip=True: {source.name} holds points of shape {source.shape}, no images")

    import grain

    # grain shuffles epoch e with `seed + e`. Hashed, seeds 0 and 1 do not share shifted epochs.
    order_seed = int(np.random.SeedSequence((seed, _ORDER)).generate_state(1)[0])
    order = grain.MapDataset.range(source.size).shuffle(seed=order_seed).repeat()
    part = batch_size // process_count
    mine = slice(process_index * part, (process_index + 1) * part)

    def batch(index: int) -> Batch:
        first = index * batch_size + mine.start
        examples = source.take(np.array([order[i] for i in range(first, first + part)]))
        if flip:
            # Drawn for the global batch, so that it is the same for any number of processes.
            coins = np.random.default_rng((seed, _FLIP, index)).random(batch_size)[mine] < 0.5
            image = examples["image"]
            mirrored = np.where(coins[:, None, None, None], image[:, :, ::-1], image)
            examples = {**examples, "image": mirrored}
        return examples

    return batch


def batch_at(source: Source, batch_size: int, index: int, *, seed: int, **options) -> Batch:
    """Batch number `index`: exactly what `batches` gives there (same options, same errors)."""
    return batch_function(source, batch_size, seed=seed, **options)(index)


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
    """Endless batches `start`, `start + 1`, ..., read ahead in the background.

    Args:
      source, batch_size, seed, flip, process_index, process_count: see `batch_function`.
      start: number of the first batch; costs the same for any number.
      prefetch: batches kept ready; 0 reads in the caller's thread.
      threads: readers in the background. Two suffice for data in memory; decoding on demand gains
        from as many as there are cores.

    Returns:
      An iterator; its threads end when it is dropped.

    Raises:
      UserError: as `batch_function`, or a negative `start`.
    """
    if start < 0:
        raise UserError(f"start={start}: allowed: 0 or more")
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
