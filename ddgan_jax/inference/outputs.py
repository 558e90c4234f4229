"""`Outputs`: the images of a method for grids and metrics, either samples or reconstructions."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.core.images import to_float, to_uint8
from ddgan_jax.core.types import Method, Params, PyTree
from ddgan_jax.data.source import Source
from ddgan_jax.features.lpips import distances_by_name, lpips_for
from ddgan_jax.inference.rebuild import of_source, rebuilder
from ddgan_jax.inference.sampling import compiled_sampler, sample_batches
from ddgan_jax.metrics.reconstruction import reconstruction_quality
from ddgan_jax.parallel import mesh as meshes


class Outputs(NamedTuple):
    """Images of a method, as functions of its parameters.

    Attributes:
      count: number of images.
      batches: params -> batches of the images, float32 [b, ...]. Each call returns the same images.
      grid: params -> the images of a grid [n, ...]: samples, or pairs of a real image and its
        reconstruction.
      quality: params -> PSNR, SSIM and LPIPS of reconstructions; None for samples.
    """

    count: int  # type: ignore[assignment]  # hides tuple.count
    batches: Callable[[Params], Iterator[np.ndarray]]
    grid: Callable[[Params], np.ndarray]
    quality: Callable[[Params], dict[str, float]] | None


def outputs_of(
    method: Method,
    config: ConfigDict,
    source: Source,
    mesh: jax.sharding.Mesh,
    frozen: PyTree,
    key: jax.Array,
    count: int,
) -> Outputs:
    """The images of a method: samples, or reconstructions if it does not sample.

    Args:
      method: the method.
      config: `sample.batch_size` and `eval.batch_size` are the batch sizes of samples and of
        reconstructions.
      source: real images to reconstruct.
      mesh: devices to compute on.
      frozen: frozen networks that sampling needs.
      key: typed PRNG key of the samples.
      count: number of images; at most `source.size` are reconstructed.
    """
    if method.sample is None:
        return _reconstructions(method, config, source, mesh, min(count, source.size))
    sample = compiled_sampler(method, mesh)
    size = meshes.round_up(min(config.sample.batch_size, count), mesh)

    def batches(params: Params) -> Iterator[np.ndarray]:
        return sample_batches(sample, params, frozen, key, count, size)

    return Outputs(count, batches, lambda params: np.concatenate(list(batches(params))), None)


def _reconstructions(
    method: Method, config: ConfigDict, source: Source, mesh: jax.sharding.Mesh, count: int
) -> Outputs:
    rebuild = rebuilder(method, mesh, config.eval.batch_size)

    def batches(params: Params) -> Iterator[np.ndarray]:
        return (rebuilt for _, rebuilt in of_source(rebuild, params, source, count))

    def quality(params: Params) -> dict[str, float]:
        pairs = of_source(rebuild, params, source, count)
        lpips, _ = lpips_for(source.shape)
        return reconstruction_quality(
            ((to_float(images), rebuilt) for images, rebuilt in pairs),
            distances_by_name(lpips, source.shape),
        )

    def grid(params: Params) -> np.ndarray:
        pairs = of_source(rebuild, params, source, (count + 1) // 2)
        both = [np.stack([images, to_uint8(rebuilt)], axis=1) for images, rebuilt in pairs]
        return np.concatenate(both).reshape(-1, *source.shape)

    return Outputs(count, batches, grid, quality)
