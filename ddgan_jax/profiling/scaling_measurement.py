"""Measure how a train step scales over the devices of this machine.

`count_and_time` compiles the step for several numbers of devices, counts the collectives of the
compiled program and times it, and times an all-reduce with as many bytes as all collectives of the
step together. `scaling_model` predicts step times without compiling.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import PartitionSpec
from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError
from ddgan_jax.data import data_shape
from ddgan_jax.methods import validate
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.profiling.hlo import collectives
from ddgan_jax.profiling.markdown import header, row
from ddgan_jax.profiling.timing import (
    TRIALS,
    flops_of,
    median_seconds,
    median_step_seconds,
    random_batch,
)
from ddgan_jax.training.frozen import frozen_shapes
from ddgan_jax.training.setup import assemble, compiled_steps, first_state


class Measured(NamedTuple):
    """Measurements of a compiled train step.

    Attributes:
      devices: number of devices.
      batch: examples of the whole batch.
      seconds: median seconds of a step.
      all_reduce_seconds: median seconds of one all-reduce with as many bytes as all collectives of
        the step together.
      flops: FLOPs of one device in the compiled program.
      state: bytes of the train state on one device.
      collectives: see `collectives`.
    """

    devices: int
    batch: int
    seconds: float
    all_reduce_seconds: float
    flops: float
    state: int
    collectives: dict[str, tuple[int, int]]


def measure(config: ConfigDict, devices: Sequence[jax.Device], trials: int = TRIALS) -> Measured:
    """Compile and time the train step without regularizers, on random data.

    Args:
      config: config of a run.
      devices: devices to use.
      trials: number of steps that are timed.

    Raises:
      UserError: an invalid config, or the number of devices does not divide the batch size.
    """
    config = validate(config)
    mesh = meshes.make_mesh(devices)
    size = config.train.batch_size
    meshes.check_divides("train.batch_size", size, mesh)
    shape = data_shape(config.data)
    method, optimizers, create, shapes = assemble(config, shape, total=1000, epoch=1000)
    abstract = meshes.lay_out(shapes, mesh, config.train.fsdp)
    state = first_state(create, abstract, seed=0)
    make_batch = functools.partial(random_batch, config=config, shape=shape)
    batch = jax.jit(make_batch, out_shardings=meshes.batch_sharded(mesh))(jax.random.key(1))
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), frozen_shapes(config, method, shape))
    frozen = jax.device_put(zeros, meshes.replicated(mesh))
    without = tuple(False for _ in method.phases)
    step_fn = compiled_steps(method, optimizers, config, mesh, abstract)(without)
    compiled = step_fn.lower(state, batch, frozen).compile()
    found = collectives(compiled.as_text())
    count = sum(size for _, size in found.values()) // 4
    return Measured(
        mesh.size,
        size,
        median_step_seconds(compiled, state, batch, frozen, trials)[0],
        median_seconds(_all_reduce(mesh, count), trials) if mesh.size > 1 and count else 0.0,
        flops_of(compiled),
        meshes.bytes_per_device(abstract),
        found,
    )


def _all_reduce(mesh: jax.sharding.Mesh, count: int) -> Callable[[], Any]:
    """A function that all-reduces `count` float32 numbers over the devices."""
    each = jax.device_put(np.ones((mesh.size, count), np.float32), meshes.batch_sharded(mesh))
    total = jax.jit(
        jax.shard_map(
            lambda x: jax.lax.psum(x[0], "data"),
            mesh=mesh,
            in_specs=PartitionSpec("data"),
            out_specs=PartitionSpec(),
        )
    )
    return lambda: total(each)


def count_and_time(
    config: ConfigDict, counts: Sequence[int], weak: bool, say: Callable[[str], None] = print
) -> None:
    """Print a table of `measure` for several numbers of devices.

    Args:
      config: config of a run.
      counts: numbers of devices.
      weak: treat config.train.batch_size as per-device (weak scaling) instead of global.
      say: prints a line.

    Raises:
      UserError: see `measure`; or there are fewer devices.
    """
    have, each = jax.devices(), config.train.batch_size
    if max(counts) > len(have):
        raise UserError(
            f"--measure is {max(counts)}; numbers up to the {len(have)} devices of this machine "
            "are needed (on a CPU, JAX_NUM_CPU_DEVICES=N makes N)"
        )
    say(
        header(
            *("devices", "batch", "ms per step", "MFLOP per device", "kB of state per device"),
            *("collectives", "kB", "ms of one all-reduce with as many bytes"),
        )
    )
    for count in counts:
        scaled = ConfigDict(config.to_dict())
        scaled.train.batch_size = each * count if weak else each
        found = measure(scaled, have[:count])
        kinds = ", ".join(f"{n} {kind}" for kind, (n, _) in sorted(found.collectives.items()))
        size = sum(size for _, size in found.collectives.values())
        step_time, flops = f"{1e3 * found.seconds:.2f}", f"{found.flops / 1e6:.2f}"
        work = (step_time, flops, f"{found.state / 1e3:.1f}")
        sent = (kinds or "none", f"{size / 1e3:.1f}", f"{1e3 * found.all_reduce_seconds:.2f}")
        say(row(found.devices, found.batch, *work, *sent))
