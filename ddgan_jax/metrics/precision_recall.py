"""Improved precision and recall: share of realistic samples, and share of the data covered.

Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative models".
The manifold of a set is the union of balls around its points; the radius of a ball is the distance
to the k-th nearest other point of the set.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Array
from ddgan_jax.metrics.checks import check_features
from ddgan_jax.metrics.metric import Comparison, Metric
from ddgan_jax.parallel.mesh import batch_sharded, make_mesh, replicated

# Squared distances below this multiple of |x|^2 + |y|^2 count as 0, because float32 products do not
# resolve them. Copies therefore have distance exactly 0 and lie within a ball of radius 0.
RESOLUTION = 4e-6


class PrecisionRecall(NamedTuple):
    """Precision and recall of samples.

    Attributes:
      precision: share of the samples within at least one ball of the real images.
      recall: share of the real images within at least one ball of the samples.
    """

    precision: float
    recall: float


def precision_recall(
    real: np.ndarray, fake: np.ndarray, k: int = 3, mesh: Mesh | None = None, block: int = 4096
) -> PrecisionRecall:
    """Precision and recall of `fake` with respect to `real`.

    Distances are computed in float32, in tiles of at most about `block` x `block`, so the memory
    needed besides the features does not grow with the number of samples. The rows of a tile are
    split over the devices. In a multi-host run, all processes must call this with equal features.

    Args:
      real, fake: features, float [N, F] and [M, F].
      k: the radius of a ball is the distance to the k-th nearest other point of the same set; a
        copy of a point counts as another point.
      mesh: devices to compute on; all of them by default.
      block: points on each side of a tile.

    Raises:
      UserError: fewer than k + 1 samples, different numbers of features, values that are not
        finite, `k` or `block` below 1.
    """
    if k < 1 or block < 1:
        raise UserError(f"k is {k} and block is {block}; positive numbers are needed")
    check_features(k + 1, **{"the real set": real, "the fake set": fake})
    mesh = mesh or make_mesh()
    # Centering both sets changes no distance and reduces rounding errors.
    means = [features.mean(axis=0, dtype=np.float64) for features in (real, fake)]
    center = _on_devices(((means[0] + means[1]) / 2).astype(np.float32), replicated(mesh))
    size = _tile_size(max(len(real), len(fake)), block, mesh.size)

    real_radii = squared_radii(real, center, k, mesh, size)
    fake_radii = squared_radii(fake, center, k, mesh, size)
    fake_within, real_within = np.zeros(len(fake), bool), np.zeros(len(real), bool)
    for rows, fakes, balls in _tiles(fake, fake_radii, size, batch_sharded(mesh)):
        for columns, reals, real_balls in _tiles(real, real_radii, size, replicated(mesh)):
            found = _within(fakes, balls, reals, real_balls, center, mesh)
            fake_within[rows] |= np.asarray(found[0])[: rows.stop - rows.start]
            real_within[columns] |= np.asarray(found[1])[: columns.stop - columns.start]
    return PrecisionRecall(float(fake_within.mean()), float(real_within.mean()))


def squared_radii(features: np.ndarray, center: Array, k: int, mesh: Mesh, size: int) -> np.ndarray:
    """Squared distance of each point to its k-th nearest other point.

    Args:
      features: float [N, F].
      center: float32 [F] on all devices; subtracted from all features.
      k: rank of the neighbor, at least 1 and below N.
      mesh: devices to compute on.
      size: points on each side of a tile, a multiple of the number of devices.

    Returns:
      float32 [N].
    """
    radii = np.empty(len(features), np.float32)
    numbers = np.arange(len(features), dtype=np.int32)
    for rows, queries, query_numbers in _tiles(features, numbers, size, batch_sharded(mesh)):
        nearest = _on_devices(np.full((size, k), np.inf, np.float32), batch_sharded(mesh))
        for _, others, other_numbers in _tiles(features, numbers, size, replicated(mesh)):
            nearest = _nearest(nearest, queries, query_numbers, others, other_numbers, center, mesh)
            nearest.block_until_ready()  # keeps one tile in memory instead of a whole row
        radii[rows] = np.asarray(_gathered(nearest, mesh))[: rows.stop - rows.start, -1]
    return radii


def _tile_size(count: int, block: int, devices: int) -> int:
    """Equal tiles of at most `block` points, rounded up to a multiple of the number of devices."""
    tiles = -(-count // block)
    return -(-count // (tiles * devices)) * devices


def _tiles(
    features: np.ndarray, marks: np.ndarray, size: int, sharding: NamedSharding
) -> Iterator[tuple[slice, Array, Array]]:
    """Yield (slice of the points, features, marks) of each tile; padding has mark -1."""
    for start in range(0, len(features), size):
        which = slice(start, min(start + size, len(features)))
        missing = size - (which.stop - start)
        tile = np.pad(features[which].astype(np.float32), ((0, missing), (0, 0)))
        mark = np.pad(marks[which], (0, missing), constant_values=-1)
        yield which, _on_devices(tile, sharding), _on_devices(mark, sharding)


def _on_devices(x: np.ndarray, sharding: NamedSharding) -> Array:
    return jax.make_array_from_callback(x.shape, sharding, x.__getitem__)


def _squared_distances(x: Array, y: Array, center: Array) -> Array:
    x, y = x - center, y - center
    norms = jnp.sum(x * x, axis=1)[:, None] + jnp.sum(y * y, axis=1)[None]
    squared = norms - 2 * jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.where(squared < RESOLUTION * norms, 0, squared)


@functools.partial(jax.jit, static_argnames="mesh")
def _nearest(
    nearest: Array,
    x: Array,
    x_numbers: Array,
    y: Array,
    y_numbers: Array,
    center: Array,
    mesh: Mesh,
) -> Array:
    """Merge the k smallest squared distances so far [R, k] with those from each x to all y."""

    def of_rows(
        nearest: Array, x: Array, x_numbers: Array, y: Array, y_numbers: Array, center: Array
    ) -> Array:
        squared = _squared_distances(x, y, center)
        # Points are identified by number, not by distance: a copy is another point.
        itself = x_numbers[:, None] == y_numbers[None]
        squared = jnp.where(itself | (y_numbers < 0)[None], jnp.inf, squared)
        k = nearest.shape[1]
        here = -jax.lax.top_k(-squared, min(k, squared.shape[1]))[0]
        return -jax.lax.top_k(-jnp.concatenate([nearest, here], axis=1), k)[0]

    # Without shard_map, top_k would gather the whole tile on every device.
    rows, whole = PartitionSpec("data"), PartitionSpec()
    specs = (rows, rows, rows, whole, whole, whole)
    local = jax.shard_map(of_rows, mesh=mesh, in_specs=specs, out_specs=rows)
    return local(nearest, x, x_numbers, y, y_numbers, center)


@functools.partial(jax.jit, static_argnames="mesh")
def _within(
    x: Array, x_radii: Array, y: Array, y_radii: Array, center: Array, mesh: Mesh
) -> tuple[Array, Array]:
    """Whether each x is within a ball of some y, and each y within a ball of some x.

    Radii are squared. Padding has radius -1, so no point is within its ball; results for padding
    are dropped by the caller.
    """
    squared = _squared_distances(x, y, center)
    found = (squared <= y_radii[None]).any(axis=1), (squared <= x_radii[:, None]).any(axis=0)
    gathered: tuple[Array, Array] = jax.lax.with_sharding_constraint(found, replicated(mesh))
    return gathered


@functools.partial(jax.jit, static_argnames="mesh")
def _gathered(x: Array, mesh: Mesh) -> Array:
    gathered: Array = jax.lax.with_sharding_constraint(x, replicated(mesh))
    return gathered


def _compute(comparison: Comparison) -> dict[str, float]:
    found = precision_recall(comparison.real_features, comparison.features, mesh=comparison.mesh)
    suffix = comparison.network.suffix
    return {f"precision{suffix}": found.precision, f"recall{suffix}": found.recall}


PRECISION_RECALL = Metric(_compute, better={"precision": "higher", "recall": "higher"})
