"""`feed_batches`: the batches of a run on its devices, one of them ahead in transfer."""

import math
from collections.abc import Generator

import jax

from ddgan_jax.core.types import Array
from ddgan_jax.data.pipeline import batches
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.parallel.distributed import cores
from ddgan_jax.training.setup import Run

_NUMBERS_AHEAD = 2**28  # of all batches that are read ahead: 256 MiB of pixels, 1 GiB of latents


def feed_batches(run: Run, start: int) -> Generator[dict[str, Array]]:
    """Yield global batches on the devices from step `start` on, one of them ahead in transfer."""
    config, mesh = run.config, run.mesh
    # Decoding on demand gains from a thread per core, each with batches of its own ahead.
    threads = 2 if run.feed.in_memory else cores()
    numbers = config.train.batch_size // jax.process_count() * math.prod(run.feed.shape)
    threads = max(2, min(threads, _NUMBERS_AHEAD // numbers))
    local = batches(
        run.feed,
        config.train.batch_size,
        seed=config.seed,
        start=start,
        flip=config.data.flip and run.feed is run.source,  # latents include mirrored images
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        prefetch=max(4, threads),
        threads=threads,
    )
    ahead = meshes.shard_batch(next(local), mesh)
    for batch in local:
        ready, ahead = ahead, meshes.shard_batch(batch, mesh)
        yield ready
