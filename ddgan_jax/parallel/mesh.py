"""The device mesh and the layout of arrays on it.

The mesh has one axis, "data". Batches are split over it; with FSDP large parameters are, too.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Array, Carry, PyTree, TrainState

SMALL = 2**14  # with FSDP, arrays with fewer elements stay replicated


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh of all devices, or of the given ones, along the axis "data"."""
    # Sorted by process, unlike `jax.make_mesh`, which sorts by the interconnect: part i of the
    # global batch belongs to process i.
    ordered = sorted(devices or jax.devices(), key=lambda d: (d.process_index, d.id))
    return Mesh(np.array(ordered), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of an array that every device holds completely."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharded(mesh: Mesh) -> NamedSharding:
    """The sharding of an array whose leading axis is split over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def lay_out(abstract: TrainState, mesh: Mesh, fsdp: bool = False) -> TrainState:
    """Choose the sharding of every array of a train state.

    This is the only place that does so: compiled steps, initial states and restored states take
    their shardings from here. Carried samples are split like the batch. Parameters, moving averages
    and optimizer states are replicated; with `fsdp` those with at least `SMALL` elements are split
    along their longest axis that the number of devices divides (ZeRO-3, arXiv 1910.02054).
    Everything else is replicated.

    Args:
      abstract: the state, or its shapes; the number of devices divides its batch size.
      mesh: the devices.
      fsdp: `config.train.fsdp`.

    Returns:
      The same tree with a `jax.ShapeDtypeStruct` with a sharding for each array.
    """

    def replicate(x: Array) -> NamedSharding:
        del x
        return replicated(mesh)

    def split_longest_axis(x: Array) -> NamedSharding:
        axes = [i for i, size in enumerate(x.shape) if size % mesh.size == 0]
        if x.size < SMALL or not axes:
            return replicated(mesh)
        longest = max(axes, key=lambda i: x.shape[i])
        return NamedSharding(mesh, PartitionSpec(*(None,) * longest, "data"))

    def with_shardings(tree: PyTree, rule: Callable[[Array], NamedSharding]) -> PyTree:
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=rule(x)), tree
        )

    parameters = split_longest_axis if fsdp else replicate
    return TrainState(
        step=with_shardings(abstract.step, replicate),
        key=with_shardings(abstract.key, replicate),
        params=with_shardings(abstract.params, parameters),
        opt_state=with_shardings(abstract.opt_state, parameters),
        ema=with_shardings(abstract.ema, parameters),
        carry=Carry(
            samples=with_shardings(abstract.carry.samples, lambda x: batch_sharded(mesh)),
            shared=with_shardings(abstract.carry.shared, replicate),
        ),
    )


def shardings_of(tree: PyTree) -> PyTree:
    """The shardings of a tree that `lay_out` returned, for `jax.jit`."""
    return jax.tree.map(lambda x: x.sharding, tree)


def bytes_per_device(tree: PyTree) -> int:
    """Bytes per device of a tree of arrays, or of shapes with shardings."""
    return sum(
        math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(tree)
    )


def check_divides(field: str, batch_size: int, mesh: Mesh) -> None:
    """Raise a `UserError` unless the number of devices divides `batch_size`."""
    if batch_size % mesh.size:
        raise UserError(
            f"config.{field} is {batch_size}; a multiple of the {mesh.size} devices is needed"
        )


def round_up(count: int, mesh: Mesh) -> int:
    """The smallest multiple of the number of devices that is at least `count`."""
    return -(-count // mesh.size) * mesh.size


def shard_rows(rows: np.ndarray, mesh: Mesh) -> Array:
    """Split rows over the devices; every process has all rows.

    Compiled functions do this for numpy arrays themselves in runs of one process only.
    """
    return jax.make_array_from_callback(rows.shape, batch_sharded(mesh), rows.__getitem__)


def shard_batch(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, Array]:
    """Global arrays, split over the devices, from each process's own rows of the batch."""
    sharding = batch_sharded(mesh)
    return {k: jax.make_array_from_process_local_data(sharding, v) for k, v in batch.items()}
