"""An analytic model of how the time of a train step scales over chips.

`predict` and `side_by_side` trace one step, compile nothing, and predict for n = 1 to 256 chips

  seconds(n) = F / (n u peak) + U(n) / memory + a PER_ARRAY
               + sum over collectives of (S(n) / bandwidth + hops(n) latency)

F: FLOPs of a step as XLA counts them before optimization, averaged over steps with and without
regularizers. u: the fraction of the peak that large convolutions reach, `UTILIZATION`. U: bytes
that the optimizers and averages of a chip read and write: the state twice and the gradients once,
with config.train.fsdp the n-th part of that. a: number of arrays of parameters: each has kernels
whose time does not depend on the number of images. A collective is a ring over all chips, and
nothing overlaps with computation. S: bytes that a chip sends, with G the bytes of a role's gradient
and P those of the big parameters:

                     collectives of a phase                               S              hops
  data parallel      all-reduce of the gradient                       2 (n-1)/n G      2 (n-1)
  config.train.fsdp  all-gather of all big parameters,                  (n-1)/n P        n-1
                     reduce-scatter of the gradient                     (n-1)/n G        n-1

`scaling_measurement` compiles and times steps instead.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from ddgan_jax.core.train_step import Regularize
from ddgan_jax.core.types import Method
from ddgan_jax.data import data_shape
from ddgan_jax.methods import validate
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.profiling.hardware import CHIPS, Chip
from ddgan_jax.profiling.markdown import header, row
from ddgan_jax.profiling.memory import activation_bytes
from ddgan_jax.profiling.timing import random_batch
from ddgan_jax.training.frozen import frozen_shapes
from ddgan_jax.training.setup import assemble, compiled_steps

# Both fitted to programs compiled for a v5e (docs/scaling.md); `benchmark` measures on a chip.
UTILIZATION = 0.6  # fraction of the peak
PER_ARRAY = 1.5e-5  # seconds: about thirty kernels for each array of parameters
COUNTS = (1, 4, 16, 64, 256)  # numbers of chips in the tables


class Work(NamedTuple):
    """The work of one train step on the whole batch, independent of the hardware.

    Attributes:
      flops: FLOPs.
      bytes_accessed: bytes that operations read and write before fusion, an upper bound far above
        the real traffic.
      gradients: bytes of the gradient of each phase.
      gathered: bytes of the parameters that `config.train.fsdp` shards.
      state: bytes of the train state.
      activations: bytes, see `memory.activation_bytes`.
      arrays: number of arrays of parameters.
    """

    flops: float
    bytes_accessed: float
    gradients: tuple[int, ...]
    gathered: int
    state: int
    activations: int
    arrays: int


def shares_of_variants(method: Method) -> dict[Regularize, Fraction]:
    """How often each result of `which_regularize` occurs among many steps.

    All of some phases regularize in 1 of lcm(their intervals) steps; those of exactly these phases
    follow by inclusion and exclusion.

    Returns:
      result -> share of the steps; the shares sum to 1, and none is 0.
    """
    phases = method.phases
    every = {k: p.regularize_every for k, p in enumerate(phases) if p.regularizer is not None}
    at_least = {
        frozenset(some): Fraction(1, math.lcm(*(every[k] for k in some)))
        for count in range(len(every) + 1)
        for some in combinations(every, count)
    }
    shares = {}
    for exactly in at_least:
        parts = [
            (-1) ** len(some - exactly) * part for some, part in at_least.items() if some >= exactly
        ]
        if share := sum(parts, Fraction(0)):
            shares[tuple(k in exactly for k in range(len(phases)))] = share
    return shares


def work_of(config: ConfigDict) -> Work:
    """Count the work of a train step by tracing it, without compiling and without data.

    Raises:
      UserError: an invalid config.
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
    frozen = frozen_shapes(config, method, shape)
    shares = shares_of_variants(method)
    costs = {v: step_fn(v).lower(abstract, batch, frozen).cost_analysis() or {} for v in shares}

    def mean(name: str) -> float:
        return sum(float(costs[v].get(name, 0.0)) * share for v, share in shares.items())

    big = [x for x in jax.tree.leaves(abstract.params) if x.size >= meshes.SMALL]
    return Work(
        mean("flops"),
        mean("bytes accessed"),
        tuple(meshes.bytes_per_device(abstract.params[p.role]) for p in method.phases),
        meshes.bytes_per_device(big),
        meshes.bytes_per_device(abstract),
        activation_bytes(method, abstract, batch, frozen, config.train.accumulate),
        len(jax.tree.leaves(abstract.params)),
    )


def predicted(work: Work, chips: int, chip: Chip, fsdp: bool = False) -> tuple[float, float]:
    """The model of the module docstring.

    Args:
      work: the work of a step.
      chips: n, number of chips.
      chip: their data sheet.
      fsdp: whether parameters are sharded.

    Returns:
      Seconds of computation and seconds of communication of a step.
    """
    bandwidth = chip.link_bandwidth if chips <= chip.domain else chip.bandwidth_beyond
    part, hops = (chips - 1) / chips, chips - 1
    sent = 0.0
    for gradient in work.gradients:
        bytes_sent = part * (gradient + (work.gathered if fsdp else gradient))
        sent += bytes_sent / bandwidth + 2 * hops * chip.latency
    updated = (2 * work.state + sum(work.gradients)) / (chips if fsdp else 1)
    products = work.flops / (chips * UTILIZATION * chip.flops)
    return products + updated / chip.memory_bandwidth + work.arrays * PER_ARRAY, sent


def predict(config: ConfigDict, kinds: Sequence[str], say: Callable[[str], None] = print) -> None:
    """Print the work of a step and a table of predictions.

    Efficiency is seconds(1) / (n seconds(n)): in strong scaling with the batch of the config over
    all chips, in weak scaling with that batch on each chip.

    Args:
      config: config of a run.
      kinds: keys of `CHIPS`.
      say: prints a line.

    Raises:
      UserError: see `work_of`.
    """
    work, size = work_of(config), config.train.batch_size
    sums = ", ".join(f"{gradient / 1e6:.1f}" for gradient in work.gradients)
    say(
        f"batch {size}: {work.flops / 1e9:.1f} GFLOP, at most {work.bytes_accessed / 1e9:.1f} GB "
        f"accessed per step; gradients {sums} MB, state {work.state / 1e6:.1f} MB, activations of "
        f"the whole batch {work.activations / 1e6:.1f} MB"
    )
    say(
        header(
            *("chip", "chips", "batch per chip", "ms per step", "communication"),
            *("efficiency, strong scaling", "weak scaling", "strong scaling with fsdp"),
        )
    )
    for kind in kinds:
        chip = CHIPS[kind]
        alone = sum(predicted(work, 1, chip))
        for chips in COUNTS:
            if size % chips:
                continue
            compute, sent = predicted(work, chips, chip)
            total, split = compute + sent, sum(predicted(work, chips, chip, fsdp=True))
            shares = (
                *(sent / total, alone / (chips * total)),
                *(alone / (alone + sent), alone / (chips * split)),
            )
            percent = [f"{100 * share:.0f} %" for share in shares]
            say(row(kind, chips, size // chips, f"{1e3 * total:.3g}", *percent))


def side_by_side(
    configs: Mapping[str, ConfigDict], kinds: Sequence[str], say: Callable[[str], None] = print
) -> None:
    """Print a table with the work of a step and its predicted efficiency, a row per config.

    Args:
      configs: config file -> config.
      kinds: keys of `CHIPS`.
      say: prints a line.

    Raises:
      UserError: see `work_of`.
    """
    many = ", ".join(map(str, COUNTS[1:]))
    columns = ["config", "batch", "GFLOP", "GB accessed", "MB of gradients", "MB of state"]
    columns.append("GB of activations")
    for kind in kinds:
        columns += [f"{kind}: ms on 1", f"strong scaling on {many}", "weak scaling"]
    say(header(*columns))
    for name, config in configs.items():
        work, size = work_of(config), config.train.batch_size
        sizes = (
            *(work.flops / 1e9, work.bytes_accessed / 1e9, sum(work.gradients) / 1e6),
            *(work.state / 1e6, work.activations / 1e9),
        )
        cells = [f"`{Path(name).stem}`", str(size), *(f"{number:.3g}" for number in sizes)]
        for kind in kinds:
            alone, strong, weak = sum(predicted(work, 1, CHIPS[kind])), [], []
            for chips in COUNTS[1:]:
                compute, sent = predicted(work, chips, CHIPS[kind])
                share = alone / (chips * (compute + sent))
                strong.append(f"{100 * share:.0f}" if size % chips == 0 else "-")
                weak.append(f"{100 * alone / (alone + sent):.0f}")
            cells += [f"{1e3 * alone:.3g}", f"{', '.join(strong)} %", f"{', '.join(weak)} %"]
        say(row(*cells))
