"""A run before it runs: all that config, data and devices determine, checked and described."""

import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.config.base import adam, check, require, steps_per_epoch, to_steps, validate
from ddgan_jax.core.optimizers import make_optimisers
from ddgan_jax.core.train_step import Optimisers, Regularise, create_state, train_step
from ddgan_jax.core.types import (
    Array,
    Aux,
    Context,
    LossFn,
    Method,
    Params,
    Phase,
    PyTree,
    TrainState,
)
from ddgan_jax.data import load_source
from ddgan_jax.data.source import Source
from ddgan_jax.features.lpips import Lpips, load_lpips, lpips_shapes
from ddgan_jax.io.storage import AnyPath, place
from ddgan_jax.methods.build import Length, build_method, tracing
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.parallel.distributed import agreed, of_first
from ddgan_jax.training import latents

Create = Callable[[Array], TrainState]
Assembled = tuple[Method, Optimisers, Create, TrainState]


class Plan(NamedTuple):
    """The durations of a config, in steps."""

    total: int
    epoch: int
    log: int
    checkpoint: int
    sample: int
    eval: int  # 0: never


def make_plan(config: ConfigDict, dataset_size: int) -> Plan:
    """Resolve the durations of `config.train` for a dataset of `dataset_size` examples."""
    batch = config.train.batch_size
    check(config, "train.batch_size", batch <= dataset_size, f"at most the data's {dataset_size}")

    def steps(field: str) -> int:
        return to_steps(f"train.{field}", config.train[field], batch, dataset_size)

    every = config.eval.every
    return Plan(
        steps("duration"),
        steps_per_epoch(batch, dataset_size),
        steps("log_every"),
        steps("checkpoint_every"),
        steps("sample_every"),
        0 if every == "never" else to_steps("eval.every", every, batch, dataset_size),
    )


class Run(NamedTuple):
    """All that config, data and devices determine: made before anything compiles or is written."""

    config: ConfigDict
    source: Source  # the data
    feed: Source  # what the train step sees of it: the same, or its latents
    plan: Plan
    method: Method
    optimisers: Optimisers
    mesh: jax.sharding.Mesh
    create: Create  # key -> the state before the first step
    abstract: TrainState  # its shapes, and where they live: `mesh.lay_out`
    frozen: PyTree  # `Context.frozen`, on the devices


def prepare(
    config: ConfigDict, devices: Sequence[jax.Device] | None = None, workdir: AnyPath | None = None
) -> Run:
    """Check everything that can be checked, then build what the loop needs.

    Args:
      config: of the run.
      devices: to use; all if None.
      workdir: the run folder, if it may hold networks that the run needs.

    What can fail in one process alone is agreed upon by all before anything is put on devices: that
    takes all of them.

    Raises:
      UserError: whatever the user can mend, in one line.
    """
    mesh = meshes.make_mesh(devices)
    source, plan, own, assembled, lpips = agreed(lambda: _checked(config, mesh, workdir))
    method, optimisers, create, shapes = assembled
    abstract = meshes.lay_out(shapes, mesh, config.train.fsdp)
    feed, frozen = source, load_frozen(own, mesh, lpips)
    if latents.in_latents(own):
        feed, measured = agreed(lambda: latents.encoded(own, source, frozen))
        if latents.read_scale(place(own.space.autoencoder)) is None:
            # Every host measured its own latents, which may differ in the last bit.
            scale = np.float32(own.space.scale or of_first(measured))
            frozen["scale"] = jax.device_put(scale, meshes.replicated(mesh))
    return Run(config, source, feed, plan, method, optimisers, mesh, create, abstract, frozen)


def _checked(
    config: ConfigDict, mesh: jax.sharding.Mesh, workdir: AnyPath | None
) -> tuple[Source, Plan, ConfigDict, Assembled, Lpips | None]:
    """The data, the plan, the config with its own autoencoder, what `assemble` makes of it, and
    LPIPS if training needs it.
    """
    validate(config)
    batch_size, parts = config.train.batch_size, config.train.accumulate
    meshes.check_divides("train.batch_size", batch_size, mesh)
    meshes.check_divides("train.batch_size / accumulate", batch_size // parts, mesh)
    source = load_source(config.data)
    plan = make_plan(config, source.size)
    is_image = len(source.shape) == 3
    check(config, "data.flip", is_image or not config.data.flip, f"false with {source.name}")
    if classes := config.classes:
        some = np.linspace(0, source.size - 1, min(source.size, 2000)).astype(int)
        largest = int(source.take(some)["label"].max())
        allowed = f"0, or more than the largest label of {source.name}, {largest},"
        check(config, "classes", largest < classes, allowed)
    own = latents.with_own(config, workdir) if workdir else config
    assembled = assemble(own, source.shape, plan.total, plan.epoch)
    if latents.in_latents(own):
        latents.newest(place(own.space.autoencoder))
    return source, plan, own, assembled, load_lpips("") if _needs_lpips(config) else None


def _needs_lpips(config: ConfigDict) -> bool:
    return bool(config.method == "autoencoder" and config.loss.lpips > 0)


def load_frozen(
    config: ConfigDict, mesh: jax.sharding.Mesh, lpips: Lpips | None = None
) -> dict[str, Any]:
    """The weights that training reads and never moves, on all devices.

    Raises:
      UserError: they are not there.
    """
    frozen = latents.load_frozen(config, mesh)
    if _needs_lpips(config):
        params = (lpips or load_lpips("")).params
        frozen["lpips"] = jax.device_put(jax.device_get(params), meshes.replicated(mesh))
    return frozen


def frozen_shapes(config: ConfigDict) -> dict[str, Any]:
    """Shapes of what `load_frozen` loads, without loading it."""
    shapes = latents.frozen_shapes(config)
    if _needs_lpips(config):
        shapes["lpips"] = lpips_shapes()
    return shapes


def data_shape(config: ConfigDict) -> tuple[int, ...]:
    """The shape of an example: from the config if it says, else from the data."""
    if config.data.image_size and config.data.channels:
        return (config.data.image_size, config.data.image_size, config.data.channels)
    return load_source(config.data).shape


def assemble(config: ConfigDict, shape: tuple[int, ...], total: int, epoch: int) -> Assembled:
    """The method, its optimisers, key -> first state, and that state's shapes.

    Args:
      config: of the run.
      shape: of one example of the data.
      total, epoch: steps of the run and of one pass over the data.

    Raises:
      UserError: whatever does not fit together, in one line.
    """
    method = build_method(config, shape, Length(total, epoch))
    roles = tuple(phase.role for phase in method.phases)
    fields = [f"optim.{role}.{name}" for role in roles for name in adam(1.0)]
    require(config, fields, f"method {config.method!r}")
    optimisers = make_optimisers(config.optim, roles, total, epoch)
    create = functools.partial(create_state, method=method, optimisers=optimisers)
    with tracing(config):
        abstract = jax.eval_shape(create, jax.random.key(config.seed))
    return method, optimisers, create, abstract


def describe(run: Run) -> dict[str, Any]:
    """What is worth knowing before compiling: sizes, counts, devices, versions."""
    source, plan = run.source, run.plan
    count = {
        role: sum(leaf.size for leaf in jax.tree.leaves(tree))
        for role, tree in run.abstract.params.items()
    }
    return {
        "method": run.config.method,
        "parameters": count,
        "data": {"name": source.name, "examples": source.size, "shape": list(source.shape)},
        "steps": plan.total,
        "steps_per_epoch": plan.epoch,
        "devices": [str(d.device_kind) for d in run.mesh.devices.flat],
        "batch_per_device": run.config.train.batch_size // run.mesh.size,
        # Of parameters, averages, moments and what is carried; activations come on top.
        "state_bytes_per_device": meshes.bytes_per_device(run.abstract),
        "processes": jax.process_count(),
        "cores": _cores(),
        "jax": jax.__version__,
        "python": sys.version.split()[0],
    }


def _cores() -> int:
    """CPU cores that this process may use: over so many threads XLA splits the sums of a CPU."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def first_state(create: Create, abstract: TrainState, seed: int) -> TrainState:
    """The state before the first step, made where it will live."""
    return jax.jit(create, out_shardings=meshes.shardings_of(abstract))(jax.random.key(seed))


def compiled_steps(
    method: Method,
    optimisers: Optimisers,
    config: ConfigDict,
    mesh: jax.sharding.Mesh,
    abstract: TrainState,
) -> Callable[[Regularise], Any]:
    """`variant -> jitted train step`: state laid out as `abstract` and donated, batch split."""
    same, split = meshes.replicated(mesh), meshes.over_batch(mesh)
    state = meshes.shardings_of(abstract)
    if config.train.fsdp:
        method = method._replace(phases=tuple(_gathering(p, same) for p in method.phases))

    @functools.cache
    def variant(regularise: Regularise) -> Any:
        step = functools.partial(
            train_step,
            method=method,
            optimisers=optimisers,
            ema_decay=config.ema_decay,
            regularise=regularise,
            accumulate=config.train.accumulate,
        )
        return jax.jit(
            step,
            in_shardings=(state, split, same),
            out_shardings=(state, same),
            donate_argnums=0,
        )

    return variant


def _gathering(phase: Phase, same: jax.sharding.Sharding) -> Phase:
    """The phase on whole parameters: gathered for its turn, their gradient summed and cut.

    Without this XLA may split the activations along the parameters' axis instead of the batch.
    """

    def whole(loss: LossFn) -> LossFn:
        def on_whole(params: Params, context: Context) -> tuple[Array, Aux]:
            return loss(jax.lax.with_sharding_constraint(params, same), context)

        return on_whole

    regulariser = phase.regulariser and whole(phase.regulariser)
    return phase._replace(loss=whole(phase.loss), regulariser=regulariser)
