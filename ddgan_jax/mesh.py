"""Devices: one axis, "data", over which the batch is sharded; parameters are replicated."""

from collections.abc import Mapping, Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ddgan_jax.errors import UserError
from ddgan_jax.types import Array


def start_distributed(coordinator: str, num_processes: int, process_id: int) -> None:
    """Join the other processes of a multi-host run; with no arguments, as the cluster tells.

    Args:
      coordinator: "host:port" of process 0, or "auto" on TPU pods and Slurm.
      num_processes, process_id: ignored with "auto".

    Raises:
      UserError: the processes do not find each other.
    """
    try:
        if coordinator == "auto":
            jax.distributed.initialize()
        else:
            jax.distributed.initialize(coordinator, num_processes, process_id)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"--coordinator={coordinator}: no connection: {reason}") from error


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


def check_divides(field: str, batch_size: int, mesh: Mesh) -> None:
    """Raise a UserError unless `batch_size` is a multiple of the number of devices."""
    if batch_size % mesh.size:
        raise UserError(
            f"config.{field} is {batch_size}; a multiple of the {mesh.size} devices is needed"
        )


def round_up(count: int, mesh: Mesh) -> int:
    """The next multiple of the number of devices."""
    return -(-count // mesh.size) * mesh.size


def shard_batch(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, Array]:
    """The rows of the global batch that this process has -> arrays split over the devices."""
    sharding = over_batch(mesh)
    return {k: jax.make_array_from_process_local_data(sharding, v) for k, v in batch.items()}
