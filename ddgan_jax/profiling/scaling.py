"""How a run scales over chips: the work of a step, what it sends, and a model of its time.

`predict` and `side_by_side` trace one step, compile nothing, and predict for n = 1 to 256 chips

  seconds(n) = F / (n u peak) + sum over collectives of (S(n) / bandwidth + hops(n) latency)

F: FLOPs of a step as XLA counts them before optimisation, each regularizer in its share of steps.
u: the part of a chip's peak that compiled networks reach, `UTILISATION`. A collective is a ring
over all chips, and nothing overlaps with computing. What a chip sends, S, and in how many hops:

  data parallel      one all-reduce of a role's gradient a phase     2 (n-1)/n G      2 (n-1)
  config.train.fsdp  an all-gather of all big parameters a phase,      (n-1)/n P        n-1
                     a reduce-scatter of the gradient                  (n-1)/n G        n-1

`count_and_time` compiles the step for devices of this machine, counts the collectives of the
compiled program and times it, and also the same number of bytes alone.
"""

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import PartitionSpec
from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.train_step import which_regularize
from ddgan_jax.data import data_shape
from ddgan_jax.methods import validate
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.profiling.benchmark import median_seconds, random_batch
from ddgan_jax.profiling.memory import activation_bytes
from ddgan_jax.training.frozen import frozen_shapes
from ddgan_jax.training.setup import assemble, compiled_steps, first_state

UTILISATION = 0.4  # of the peak; an assumption, until `--mode=benchmark` has measured it on a chip
CHIPS = (1, 4, 16, 64, 256)


class Chip(NamedTuple):
    """What the model wants to know; compare with the data sheet of your chip.

    Attributes:
      flops: dense bfloat16 FLOP/s.
      bandwidth: bytes/s that a chip sends along a ring; of a torus, one axis, both directions.
      latency: seconds of a hop; an assumption.
      together: chips that have this bandwidth between them.
      beyond: bytes/s of a chip when a ring has more.
    """

    flops: float
    bandwidth: float
    latency: float = 1e-6
    together: int = 2**20
    beyond: float = math.inf


KINDS = {
    "TPU v4": Chip(275e12, 90e9),
    "TPU v5e": Chip(197e12, 90e9),
    "TPU v5p": Chip(459e12, 180e9),
    "TPU v6e": Chip(918e12, 180e9),
    "H100": Chip(989e12, 450e9, 5e-6, 8, 50e9),
}


class Work(NamedTuple):
    """One train step, whatever runs it.

    Attributes:
      flops: of the whole batch.
      bytes_accessed: that operations read and write, before any are fused: far above what happens.
      gradients: bytes of each phase's gradient.
      gathered: bytes of the parameters that `config.train.fsdp` splits.
      state: bytes of the train state.
      activations: bytes of the whole batch, see `memory.activation_bytes`.
    """

    flops: float
    bytes_accessed: float
    gradients: tuple[int, ...]
    gathered: int
    state: int
    activations: int


def work_of(config: ConfigDict) -> Work:
    """Trace the step, without compiling or data.

    Raises:
      UserError: something is wrong with the config.
    """
    config = validate(config)
    mesh = meshes.make_mesh(jax.devices()[:1])
    shape = data_shape(config.data)
    method, optimizers, _, shapes = assemble(config, shape, total=1000, epoch=1000)
    abstract = meshes.lay_out(shapes, mesh)
    step_fn = compiled_steps(method, optimizers, config, mesh, abstract)
    batch = jax.eval_shape(
        functools.partial(random_batch, config=config, shape=shape), jax.random.key(0)
    )
    frozen = frozen_shapes(config, method)
    every = math.lcm(*(p.regularize_every for p in method.phases if p.regularizer))
    variants = [which_regularize(method, step) for step in range(every)]
    costs = {
        v: step_fn(v).lower(abstract, batch, frozen).cost_analysis() or {} for v in set(variants)
    }

    def mean(name: str) -> float:
        return sum(float(costs[v].get(name, 0.0)) for v in variants) / every

    big = [x for x in jax.tree.leaves(abstract.params) if x.size >= meshes.SMALL]
    return Work(
        mean("flops"),
        mean("bytes accessed"),
        tuple(meshes.bytes_per_device(abstract.params[p.role]) for p in method.phases),
        meshes.bytes_per_device(big),
        meshes.bytes_per_device(abstract),
        activation_bytes(method, abstract, batch, frozen, config.train.accumulate),
    )


def predicted(work: Work, chips: int, chip: Chip, fsdp: bool = False) -> tuple[float, float]:
    """Seconds of a step that `chips` chips compute and communicate; the module says how."""
    bandwidth = chip.bandwidth if chips <= chip.together else chip.beyond
    part, hops = (chips - 1) / chips, chips - 1
    sent = 0.0
    for gradient in work.gradients:
        bytes_sent = part * (gradient + (work.gathered if fsdp else gradient))
        sent += bytes_sent / bandwidth + 2 * hops * chip.latency
    return work.flops / (chips * UTILISATION * chip.flops), sent


# "%x = (f32[8,4]{1,0}, f32[3]{0}) all-reduce(...", also as the start of an asynchronous pair.
_COLLECTIVE = re.compile(
    r"= (\(.*?\)|\S+) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)"
    r"(?:-start)?\("
)
_ARRAY = re.compile(r"\b(pred|[a-z]+\d+)\[([\d,]*)\]")


def collectives(program: str) -> dict[str, tuple[int, int]]:
    """{kind: (how many, bytes of their results on one device)} of a compiled program's text."""
    found: dict[str, tuple[int, int]] = {}
    for shapes, kind in _COLLECTIVE.findall(program):
        size = 0
        for dtype, dims in _ARRAY.findall(shapes):
            bits = 8 if dtype == "pred" else int(re.sub(r"\D", "", dtype))
            size += math.prod(int(d) for d in dims.split(",") if d) * bits // 8
        count, total = found.get(kind, (0, 0))
        found[kind] = (count + 1, total + size)
    return found


class Measured(NamedTuple):
    """A compiled step on devices of this machine."""

    devices: int
    batch: int
    seconds: float  # median of a step
    alone: float  # of one all-reduce of as many bytes
    flops: float  # of one device, in the compiled program
    state: int  # bytes on one device
    collectives: dict[str, tuple[int, int]]


def measure(config: ConfigDict, devices: Sequence[jax.Device], trials: int = 20) -> Measured:
    """Compile and time the step without regularizers.

    Raises:
      UserError: something is wrong with the config, or its batch does not divide.
    """
    config = validate(config)
    mesh = meshes.make_mesh(devices)
    size = config.train.batch_size
    meshes.check_divides("train.batch_size", size, mesh)
    shape = data_shape(config.data)
    method, optimizers, create, shapes = assemble(config, shape, total=1000, epoch=1000)
    abstract = meshes.lay_out(shapes, mesh, config.train.fsdp)
    holder = [first_state(create, abstract, seed=0)]
    make_batch = functools.partial(random_batch, config=config, shape=shape)
    batch = jax.jit(make_batch, out_shardings=meshes.over_batch(mesh))(jax.random.key(1))
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), frozen_shapes(config, method))
    frozen = jax.device_put(zeros, meshes.replicated(mesh))
    without = tuple(False for _ in method.phases)
    step_fn = compiled_steps(method, optimizers, config, mesh, abstract)(without)
    compiled = step_fn.lower(holder[0], batch, frozen).compile()

    def step() -> Any:  # the state is donated
        holder[0], metrics = compiled(holder[0], batch, frozen)
        return metrics

    found = collectives(compiled.as_text())
    count = sum(size for _, size in found.values()) // 4
    return Measured(
        mesh.size,
        size,
        median_seconds(step, trials),
        median_seconds(_all_reduce(mesh, count), trials) if mesh.size > 1 and count else 0.0,
        float((compiled.cost_analysis() or {}).get("flops", 0.0)),
        meshes.bytes_per_device(abstract),
        found,
    )


def _all_reduce(mesh: jax.sharding.Mesh, count: int) -> Callable[[], Any]:
    """A call that sums `count` floats over the devices."""
    each = jax.device_put(np.ones((mesh.size, count), np.float32), meshes.over_batch(mesh))
    total = jax.jit(
        jax.shard_map(
            lambda x: jax.lax.psum(x[0], "data"),
            mesh=mesh,
            in_specs=PartitionSpec("data"),
            out_specs=PartitionSpec(),
        )
    )
    return lambda: total(each)


def _row(*cells: object) -> str:
    """One row of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def _header(*names: str) -> str:
    """The first two lines of a Markdown table."""
    return f"{_row(*names)}\n|{'---|' * len(names)}"


def predict(config: ConfigDict, kinds: Sequence[str], say: Callable[[str], None] = print) -> None:
    """Print the work of a step and the table of predictions."""
    work, size = work_of(config), config.train.batch_size
    sums = ", ".join(f"{gradient / 1e6:.1f}" for gradient in work.gradients)
    say(
        f"batch {size}: {work.flops / 1e9:.1f} GFLOP, at most {work.bytes_accessed / 1e9:.1f} GB "
        f"accessed a step; gradients {sums} MB, state {work.state / 1e6:.1f} MB, activations of "
        f"the whole batch {work.activations / 1e6:.1f} MB"
    )
    say(
        _header(
            *("chip", "chips", "batch of each", "ms a step", "communication", "efficiency"),
            *("the same batch on each chip", "with fsdp"),
        )
    )
    for kind in kinds:
        chip = KINDS[kind]
        alone = sum(predicted(work, 1, chip))
        for chips in CHIPS:
            if size % chips:
                continue
            compute, sent = predicted(work, chips, chip)
            total, split = compute + sent, sum(predicted(work, chips, chip, fsdp=True))
            shares = (
                *(sent / total, alone / (chips * total)),
                *(alone / (alone + sent), alone / (chips * split)),
            )
            percent = [f"{100 * share:.0f} %" for share in shares]
            say(_row(kind, chips, size // chips, f"{1e3 * total:.3g}", *percent))


def side_by_side(
    configs: Mapping[str, ConfigDict], kinds: Sequence[str], say: Callable[[str], None] = print
) -> None:
    """Print a row for each config, by its file: the work of a step, and a short prediction."""
    many = ", ".join(map(str, CHIPS[1:]))
    columns = ["config", "batch", "GFLOP", "GB accessed", "MB of gradients", "MB of state"]
    columns.append("GB of activations")
    for kind in kinds:
        columns += [f"{kind}: ms on 1", f"efficiency on {many}", "the same batch on each"]
    say(_header(*columns))
    for name, config in configs.items():
        work, size = work_of(config), config.train.batch_size
        sizes = (
            *(work.flops / 1e9, work.bytes_accessed / 1e9, sum(work.gradients) / 1e6),
            *(work.state / 1e6, work.activations / 1e9),
        )
        cells = [f"`{Path(name).stem}`", str(size), *(f"{number:.3g}" for number in sizes)]
        for kind in kinds:
            alone, strong, weak = sum(predicted(work, 1, KINDS[kind])), [], []
            for chips in CHIPS[1:]:
                compute, sent = predicted(work, chips, KINDS[kind])
                share = alone / (chips * (compute + sent))
                strong.append(f"{100 * share:.0f}" if size % chips == 0 else "-")
                weak.append(f"{100 * alone / (alone + sent):.0f}")
            cells += [f"{1e3 * alone:.3g}", f"{', '.join(strong)} %", f"{', '.join(weak)} %"]
        say(_row(*cells))


def count_and_time(
    config: ConfigDict, counts: Sequence[int], weak: bool, say: Callable[[str], None] = print
) -> None:
    """Print a table of `measure` for several numbers of devices.

    Args:
      config: of a run.
      counts: numbers of devices.
      weak: the config's batch is that of each device, not of all.
      say: where lines go.

    Raises:
      UserError: see `measure`; or there are not so many devices.
    """
    have, each = jax.devices(), config.train.batch_size
    if max(counts) > len(have):
        raise UserError(
            f"--measure has {max(counts)} and there are {len(have)} devices; on a CPU "
            "JAX_NUM_CPU_DEVICES=N makes more"
        )
    say(
        _header(
            *("devices", "batch", "ms a step", "MFLOP of each", "state of each, kB"),
            *("collectives", "kB", "ms of an all-reduce of as much"),
        )
    )
    for count in counts:
        config.train.batch_size = each * count if weak else each
        row = measure(config, have[:count])
        kinds = ", ".join(f"{n} {kind}" for kind, (n, _) in sorted(row.collectives.items()))
        size = sum(size for _, size in row.collectives.values())
        work = (f"{1e3 * row.seconds:.2f}", f"{row.flops / 1e6:.2f}", f"{row.state / 1e3:.1f}")
        sent = (kinds or "none", f"{size / 1e3:.1f}", f"{1e3 * row.alone:.2f}")
        say(_row(row.devices, row.batch, *work, *sent))
