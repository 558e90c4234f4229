"""Improved precision and recall: how many samples look real, how much of the data is covered.

Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative models".
A set's manifold is the union of balls around its points, each reaching to the k-th nearest other
point of the set.
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
from ddgan_jax.parallel.mesh import make_mesh, over_batch, replicated

# Squared distances below this share of |x|^2 + |y|^2 are taken for 0: float32 products do not
# resolve them. So copies have distance exactly 0, and lie within a ball of radius 0.
RESOLUTION = 4e-6


class PrecisionRecall(NamedTuple):
    """Attributes:
    precision: share of the fake samples within at least one ball of the real ones.
    recall: share of the real samples within at least one ball of the fake ones.
    """

    precision: float
    recall: float


def precision_recall(
    real: np.ndarray, fake: np.ndarray, k: int = 3, mesh: Mesh | None = None, block: int = 4096
) -> PrecisionRecall:
    """Precision and recall of `fake` with respect to `real`.

    Distances are computed in float32, in tiles of at most about `block` x `block`, so the memory
    needed beside the features does not grow with the number of samples. The rows of a tile are
    split over the devices. Of a multi-host run all processes must call this, with equal features.

    Args:
      real, fake: float [N, F] and [M, F].
      k: the radius of a ball is the distance to the k-th nearest other sample of the same set;
        copies of a sample are other samples.
      mesh: the devices; all of them by default.
      block: of samples on either side of a tile.

    Raises:
      UserError: fewer than k + 1 samples, different numbers of features, values that are not
        finite, `k` or `block` below 1.
    """
    if k < 1 or block < 1:
        raise UserError(f"k is {k} and block is {block}; positive numbers are needed")
    check_features(k + 1, **{"the real set": real, "the fake set": fake})
    mesh = mesh or make_mesh()
    # Distances do not change when both sets move; near zero they lose fewer digits.
    means = [features.mean(axis=0, dtype=np.float64) for features in (real, fake)]
    centre = _on_devices(((means[0] + means[1]) / 2).astype(np.float32), replicated(mesh))
    size = _tile_size(max(len(real), len(fake)), block, mesh.size)

    real_radii = squared_radii(real, centre, k, mesh, size)
    fake_radii = squared_radii(fake, centre, k, mesh, size)
    fake_within, real_within = np.zeros(len(fake), bool), np.zeros(len(real), bool)
    for rows, fakes, balls in _tiles(fake, fake_radii, size, over_batch(mesh)):
        for columns, reals, real_balls in _tiles(real, real_radii, size, replicated(mesh)):
            found = _within(fakes, balls, reals, real_balls, centre, mesh)
            fake_within[rows] |= np.asarray(found[0])[: rows.stop - rows.start]
            real_within[columns] |= np.asarray(found[1])[: columns.stop - columns.start]
    return PrecisionRecall(float(fake_within.mean()), float(real_within.mean()))


def squared_radii(features: np.ndarray, centre: Array, k: int, mesh: Mesh, size: int) -> np.ndarray:
    """Squared distance of each sample to its k-th nearest other sample, float32 [N]."""
    radii = np.empty(len(features), np.float32)
    numbers = np.arange(len(features), dtype=np.int32)
    for rows, queries, query_numbers in _tiles(features, numbers, size, over_batch(mesh)):
        nearest = _on_devices(np.full((size, k), np.inf, np.float32), over_batch(mesh))
        for _, others, other_numbers in _tiles(features, numbers, size, replicated(mesh)):
            nearest = _nearest(nearest, queries, query_numbers, others, other_numbers, centre, mesh)
            nearest.block_until_ready()  # or all tiles of a row would wait in memory at once
        radii[rows] = np.asarray(_gathered(nearest, mesh))[: rows.stop - rows.start, -1]
    return radii


def _tile_size(count: int, block: int, devices: int) -> int:
    """Equal tiles of at most `block` samples, up to the next multiple of the devices."""
    tiles = -(-count // block)
    return -(-count // (tiles * devices)) * devices


def _tiles(
    features: np.ndarray, marks: np.ndarray, size: int, sharding: NamedSharding
) -> Iterator[tuple[slice, Array, Array]]:
    """(which samples, their features, their marks) of each tile; rows that pad it are marked -1."""
    for start in range(0, len(features), size):
        which = slice(start, min(start + size, len(features)))
        missing = size - (which.stop - start)
        tile = np.pad(features[which].astype(np.float32), ((0, missing), (0, 0)))
        mark = np.pad(marks[which], (0, missing), constant_values=-1)
        yield which, _on_devices(tile, sharding), _on_devices(mark, sharding)


def _on_devices(x: np.ndarray, sharding: NamedSharding) -> Array:
    return jax.make_array_from_callback(x.shape, sharding, x.__getitem__)


def _squared_distances(x: Array, y: Array, centre: Array) -> Array:
    x, y = x - centre, y - centre
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
    centre: Array,
    mesh: Mesh,
) -> Array:
    """The k smallest squared distances [R, k] of each x so far, with those to the samples y."""

    def of_rows(
        nearest: Array, x: Array, x_numbers: Array, y: Array, y_numbers: Array, centre: Array
    ) -> Array:
        squared = _squared_distances(x, y, centre)
        # By number and not by distance: a copy of a sample is another sample.
        itself = x_numbers[:, None] == y_numbers[None]
        squared = jnp.where(itself | (y_numbers < 0)[None], jnp.inf, squared)
        k = nearest.shape[1]
        here = -jax.lax.top_k(-squared, min(k, squared.shape[1]))[0]
        return -jax.lax.top_k(-jnp.concatenate([nearest, here], axis=1), k)[0]

    # Every device its own rows: left to itself, top_k would first gather the whole tile.
    rows, whole = PartitionSpec("data"), PartitionSpec()
    specs = (rows, rows, rows, whole, whole, whole)
    local = jax.shard_map(of_rows, mesh=mesh, in_specs=specs, out_specs=rows)
    return local(nearest, x, x_numbers, y, y_numbers, centre)


@functools.partial(jax.jit, static_argnames="mesh")
def _within(
    x: Array, x_radii: Array, y: Array, y_radii: Array, centre: Array, mesh: Mesh
) -> tuple[Array, Array]:
    """(x is within a ball of the y, y is within a ball of the x), bool; radii are squared.

    Rows that pad have radius -1: they hold nothing, and what they lie in is not looked at.
    """
    squared = _squared_distances(x, y, centre)
    found = (squared <= y_radii[None]).any(axis=1), (squared <= x_radii[:, None]).any(axis=0)
    return jax.lax.with_sharding_constraint(found, replicated(mesh))


@functools.partial(jax.jit, static_argnames="mesh")
def _gathered(x: Array, mesh: Mesh) -> Array:
    return jax.lax.with_sharding_constraint(x, replicated(mesh))
