"""Images through a method's `encode` and `decode`, and how close they come back."""

from collections.abc import Callable, Iterator

import jax
import numpy as np

from ddgan_jax.core.types import Array, Method, Params
from ddgan_jax.data.source import Source
from ddgan_jax.features.lpips import distances, lpips_for
from ddgan_jax.metrics.reconstruction import psnr, ssim
from ddgan_jax.parallel import mesh as meshes

Rebuild = Callable[[Params, np.ndarray], Iterator[np.ndarray]]


def rebuilder(method: Method, mesh: jax.sharding.Mesh, batch_size: int) -> Rebuild:
    """(params, images uint8 [N, H, W, C]) -> float32 batches of what they are rebuilt as."""
    size = meshes.round_up(batch_size, mesh)
    same, split = meshes.replicated(mesh), meshes.over_batch(mesh)

    def both_ways(params: Params, images: Array, labels: Array) -> Array:
        assert method.encode is not None and method.decode is not None
        params = jax.lax.with_sharding_constraint(params, same)  # training may split them
        return method.decode(params, method.encode(params, images, labels), labels)

    compiled = jax.jit(both_ways, in_shardings=(None, split, split), out_shardings=same)

    def rebuild(params: Params, images: np.ndarray) -> Iterator[np.ndarray]:
        for start in range(0, len(images), size):
            some = images[start : start + size]
            padded = np.resize(some, (size, *some.shape[1:]))  # repeats: one compilation
            labels = np.zeros(size, np.int32)
            made = compiled(params, meshes.spread(padded, mesh), meshes.spread(labels, mesh))
            yield np.asarray(made)[: len(some)]

    return rebuild


def of_source(
    rebuild: Rebuild, params: Params, source: Source, count: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(uint8, what it is rebuilt as) for the first `count` images of a source, in batches."""
    for start in range(0, count, 256):
        images = source.take(np.arange(start, min(start + 256, count)))["image"]
        yield images, np.concatenate(list(rebuild(params, images)))


def closeness(
    pairs: Iterator[tuple[np.ndarray, np.ndarray]], shape: tuple[int, ...]
) -> dict[str, float]:
    """Means over images of psnr, ssim (from 7 pixels) and lpips (from 16, if its file is there).

    That of grey images has a name of its own: the network was made for colour.

    Args:
      pairs: uint8 [b, H, W, C] and float32 [b, H, W, C] in about [-1, 1], clipped here.
      shape: of one image.
    """
    network, _ = lpips_for(shape)
    found: dict[str, list[np.ndarray]] = {}
    for images, rebuilt in pairs:
        a, b = images.astype(np.float32) / 127.5 - 1, np.clip(rebuilt, -1, 1)
        found.setdefault("psnr", []).append(psnr(a, b))
        if min(shape[:2]) >= 7:
            found.setdefault("ssim", []).append(ssim(a, b))
        if network:
            name = "lpips" if shape[-1] == 3 else "lpips_grey_as_colour"
            found.setdefault(name, []).append(distances(network, a, b))
    return {name: float(np.concatenate(values).mean()) for name, values in found.items()}
