"""Devices: one axis, "data". The batch is split over it, and big parameters are where asked for."""

import math
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Array, Carry, PyTree, TrainState

SMALL = 2**14  # elements; a parameter below is not worth a collective of its own


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """All devices (or the given ones) along the axis "data"."""
    # In the order of processes, not of the interconnect as `jax.make_mesh` would have it: part i of
    # the global batch is that of process i.
    ordered = sorted(devices or jax.devices(), key=lambda d: (d.process_index, d.id))
    return Mesh(np.array(ordered), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same value on every device."""
    return NamedSharding(mesh, PartitionSpec())


def over_batch(mesh: Mesh) -> NamedSharding:
    """The leading axis split over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def lay_out(abstract: TrainState, mesh: Mesh, fsdp: bool = False) -> TrainState:
    """Where every array of a train state lives: the one place that decides it.

    Compiled steps, the first state and restored ones all take their shardings from here. Carried
    samples lie where their rows of the batch do. Parameters, their averages and the optimizers'
    moments are on every device, or with `fsdp` split over the devices along their longest axis
    that divides, unless they are small (Zero-3 of arXiv:1910.02054, FSDP). The rest is everywhere.

    Args:
      abstract: the state, or its shapes; its batch divides by the devices.
      mesh: the devices.
      fsdp: see above; `config.train.fsdp`.

    Returns:
      The same tree of `jax.ShapeDtypeStruct` with shardings.
    """

    def everywhere(x: Array) -> NamedSharding:
        del x
        return replicated(mesh)

    def split(x: Array) -> NamedSharding:
        axes = [i for i, size in enumerate(x.shape) if size % mesh.size == 0]
        if x.size < SMALL or not axes:
            return replicated(mesh)
        longest = max(axes, key=lambda i: x.shape[i])
        return NamedSharding(mesh, PartitionSpec(*(None,) * longest, "data"))

    def place(tree: PyTree, rule: Callable[[Array], NamedSharding]) -> PyTree:
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=rule(x)), tree
        )

    big = split if fsdp else everywhere
    return TrainState(
        step=place(abstract.step, everywhere),
        key=place(abstract.key, everywhere),
        params=place(abstract.params, big),
        opt_state=place(abstract.opt_state, big),
        ema=place(abstract.ema, big),
        carry=Carry(
            samples=place(abstract.carry.samples, lambda x: over_batch(mesh)),
            shared=place(abstract.carry.shared, everywhere),
        ),
    )


def shardings_of(tree: PyTree) -> PyTree:
    """The shardings of what `lay_out` returned, as `jax.jit` wants them."""
    return jax.tree.map(lambda x: x.sharding, tree)


def bytes_per_device(tree: PyTree) -> int:
    """Bytes that one device holds of a tree of arrays or shapes with shardings."""
    return sum(
        math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(tree)
    )


def check_divides(field: str, batch_size: int, mesh: Mesh) -> None:
    """Raise a UserError unless `batch_size` is a multiple of the number of devices."""
    if batch_size % mesh.size:
        raise UserError(
            f"config.{field} is {batch_size}; a multiple of the {mesh.size} devices is needed"
        )


def round_up(count: int, mesh: Mesh) -> int:
    """The next multiple of the number of devices."""
    return -(-count // mesh.size) * mesh.size


def spread(rows: np.ndarray, mesh: Mesh) -> Array:
    """Rows that every process has, all of them -> one array split over the devices.

    A compiled function does the same with numpy arrays by itself, but not where there are several
    processes.
    """
    return jax.make_array_from_callback(rows.shape, over_batch(mesh), rows.__getitem__)


def shard_batch(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, Array]:
    """The rows of the global batch that this process has -> arrays split over the devices."""
    sharding = over_batch(mesh)
    return {k: jax.make_array_from_process_local_data(sharding, v) for k, v in batch.items()}
