"""Reconstruction of images by encoding and decoding them, in compiled batches."""

from collections.abc import Callable, Iterator

import jax
import numpy as np

from ddgan_jax.core.types import Array, Method, Params
from ddgan_jax.data.source import Source
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.parallel.batching import in_batches

Rebuild = Callable[[Params, np.ndarray], Iterator[np.ndarray]]


def rebuilder(method: Method, mesh: jax.sharding.Mesh, batch_size: int) -> Rebuild:
    """Compile `decode(encode(images))` of a method, with label 0 for all images.

    Args:
      method: a method with an `inversion`.
      mesh: devices; batches are split over them.
      batch_size: images per compiled call, rounded up to a multiple of the number of devices.

    Returns:
      (params, images uint8 [N, H, W, C]) -> iterator of reconstructions float32 [b, H, W, C].
    """
    size = meshes.round_up(batch_size, mesh)
    same, split = meshes.replicated(mesh), meshes.batch_sharded(mesh)
    inversion = method.inversion
    assert inversion is not None

    def reconstruct(params: Params, images: Array, labels: Array) -> Array:
        params = jax.lax.with_sharding_constraint(params, same)  # training may shard them
        return inversion.decode(params, inversion.encode(params, images, labels), labels)

    compiled = jax.jit(reconstruct, in_shardings=(None, split, split), out_shardings=same)

    def rebuild(params: Params, images: np.ndarray) -> Iterator[np.ndarray]:
        labels = meshes.shard_rows(np.zeros(size, np.int32), mesh)
        return in_batches(
            lambda batch: compiled(params, meshes.shard_rows(batch, mesh), labels), [images], size
        )

    return rebuild


def of_source(
    rebuild: Rebuild, params: Params, source: Source, count: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Reconstruct the first images of a source.

    Args:
      rebuild: result of `rebuilder`.
      params: parameters of the method.
      source: the images.
      count: number of images, at most `source.size`.

    Yields:
      Batches of (images uint8, reconstructions float32), [b, H, W, C] each.
    """
    for start in range(0, count, 256):
        images = source.take(np.arange(start, min(start + 256, count)))["image"]
        yield images, np.concatenate(list(rebuild(params, images)))
