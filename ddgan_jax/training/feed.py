"""`feed_batches`: the batches of a run on its devices, one of them ahead in transfer."""

import os
from collections.abc import Generator

import jax

from ddgan_jax.core.types import Array
from ddgan_jax.data.pipeline import batches
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.training.setup import Run


def feed_batches(run: Run, start: int) -> Generator[dict[str, Array]]:
    """Yield global batches on the devices from step `start` on, one of them ahead in transfer."""
    config, mesh = run.config, run.mesh
    threads = os.cpu_count() or 2  # for decoding on demand
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
