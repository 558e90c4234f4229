"""Training setup: validate the config, load data, build method, optimizers and sharded state."""

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from ddgan_jax.config import check, steps_per_epoch, to_steps
from ddgan_jax.core.averages import ema_decay
from ddgan_jax.core.optimizers import make_optimizers
from ddgan_jax.core.train_step import Optimizers, Regularize, create_state, train_step
from ddgan_jax.core.types import (
    Array,
    Aux,
    Context,
    LossFn,
    Method,
    Params,
    Phase,
    PyTree,
    Shape,
    TrainState,
)
from ddgan_jax.data import check_apart, check_labels, load_source
from ddgan_jax.data.source import Source
from ddgan_jax.inference.same_run import fingerprint
from ddgan_jax.io.storage import AnyPath
from ddgan_jax.methods import Length, build_method, tracing, validate
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.parallel.distributed import cores, on_all_processes
from ddgan_jax.parallel.memory import check_fits
from ddgan_jax.spaces import find_space
from ddgan_jax.training.frozen import load_frozen, load_host

Create = Callable[[Array], TrainState]


class Plan(NamedTuple):
    """The durations of a config, in steps.

    Attributes:
      total: length of the run.
      epoch: one pass over the data.
      log, checkpoint, sample: steps between two log lines, checkpoints and sample grids.
      eval: steps between two evaluations; 0: never.
    """

    total: int
    epoch: int
    log: int
    checkpoint: int
    sample: int
    eval: int


def make_plan(config: ConfigDict, dataset_size: int) -> Plan:
    """Convert the durations of a config to steps.

    Args:
      config: complete config.
      dataset_size: number of training examples.

    Raises:
      UserError: a duration is not valid, or the batch is larger than the data.
    """
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


class Assembled(NamedTuple):
    """A method with its optimizers and the shapes of its train state; nothing is on devices yet.

    Attributes:
      method: the method.
      optimizers: optimizers by role.
      create: key -> the state before the first step.
      shapes: shapes and dtypes of that state.
    """

    method: Method
    optimizers: Optimizers
    create: Create
    shapes: TrainState


class Run(NamedTuple):
    """Everything that the training loop needs; nothing is compiled or written yet.

    Attributes:
      config: complete config.
      source: the training data.
      feed: the data as the train step sees them: `source`, or its latents.
      plan: durations in steps.
      method, optimizers, create: see `Assembled`.
      mesh: the devices.
      abstract: shapes, dtypes and shardings of the train state, see `mesh.lay_out`.
      frozen: parameters of frozen networks by name, on the devices.
    """

    config: ConfigDict
    source: Source
    feed: Source
    plan: Plan
    method: Method
    optimizers: Optimizers
    mesh: jax.sharding.Mesh
    create: Create
    abstract: TrainState
    frozen: PyTree


def prepare(
    config: ConfigDict,
    devices: Sequence[jax.Device] | None = None,
    workdir: AnyPath | None = None,
    load: Callable[[ConfigDict], Source] = load_source,
) -> Run:
    """Check the config, load the data and build what the training loop needs.

    The parts that may fail in a single process come first; their errors are shared, so that no
    process waits for another in the collectives that follow.

    Args:
      config: config of the run.
      devices: devices to use; None: all.
      workdir: the run folder, which may have copies of frozen networks.
      load: `config.data` -> the training data.

    Raises:
      UserError: an invalid config, invalid data, or a run folder among the training images.
    """
    mesh = meshes.make_mesh(devices)
    config, source, plan, local, assembled, of_losses = on_all_processes(
        lambda: _checked(config, mesh, workdir, load)
    )
    method, optimizers, create, shapes = assembled
    abstract = meshes.lay_out(shapes, mesh, config.train.fsdp)
    on_all_processes(lambda: check_fits("the train state", abstract))
    feed, frozen = source, load_frozen(local, source.shape, mesh, of_losses)
    if networks := find_space(local).frozen:
        feed, frozen = networks.feed(local, source, frozen)
    return Run(config, source, feed, plan, method, optimizers, mesh, create, abstract, frozen)


def _checked(
    config: ConfigDict,
    mesh: jax.sharding.Mesh,
    workdir: AnyPath | None,
    load: Callable[[ConfigDict], Source],
) -> tuple[ConfigDict, Source, Plan, ConfigDict, Assembled, dict[str, PyTree]]:
    """Config, data, plan, config with the local copy of networks, method, loss networks."""
    config = validate(config)
    batch_size, parts = config.train.batch_size, config.train.accumulate
    meshes.check_divides("train.batch_size", batch_size, mesh)
    meshes.check_divides("train.batch_size / accumulate", batch_size // parts, mesh)
    if workdir is not None:
        check_apart(config.data.name, workdir)
    source = load(config.data)
    plan = make_plan(config, source.size)
    is_image = len(source.shape) == 3
    check(config, "data.flip", is_image or not config.data.flip, f"false with {source.name}")
    absent = check_labels(source, config.classes)
    source = source._replace(notes=(*source.notes, *absent))
    networks = find_space(config).frozen
    local = networks.use_local_copy(config, workdir) if networks and workdir else config
    assembled = assemble(local, source.shape, plan.total, plan.epoch)
    if networks:
        networks.check(local)
    return config, source, plan, local, assembled, load_host(assembled.method)


def assemble(config: ConfigDict, shape: Shape, total: int, epoch: int) -> Assembled:
    """Build the method of a config, its optimizers and the shapes of its train state.

    Args:
      config: complete, valid config.
      shape: shape of one example of the data.
      total, epoch: steps of the run and of one pass over the data.

    Raises:
      UserError: the networks do not fit the data or each other.
    """
    method = build_method(config, shape, Length(total, epoch))
    roles = tuple(phase.role for phase in method.phases)
    own = {p.role: p.regularize_every for p in method.phases if p.own_step and p.regularizer}
    optimizers = make_optimizers(config.optim, roles, total, epoch, own)
    create = functools.partial(create_state, method=method, optimizers=optimizers)
    with tracing(config):
        shapes = jax.eval_shape(create, jax.random.key(config.seed))
    return Assembled(method, optimizers, create, shapes)


def describe(run: Run) -> dict[str, Any]:
    """The contents of info.json: sizes of networks and data, devices and versions."""
    source, plan = run.source, run.plan
    count = {
        role: sum(leaf.size for leaf in jax.tree.leaves(tree))
        for role, tree in run.abstract.params.items()
    }
    return {
        "method": run.config.method,
        "parameters": count,
        "data": {
            "name": source.name,
            "examples": source.size,
            "shape": list(source.shape),
            "hash": fingerprint(source),
        },
        "steps": plan.total,
        "steps_per_epoch": plan.epoch,
        "devices": [str(d.device_kind) for d in run.mesh.devices.flat],
        "batch_per_device": run.config.train.batch_size // run.mesh.size,
        # Parameters, averages, moments and carry, without activations.
        "state_bytes_per_device": meshes.bytes_per_device(run.abstract),
        "processes": jax.process_count(),
        "cores": cores(),  # XLA sums on a CPU with as many threads
        "jax": jax.__version__,
        "python": sys.version.split()[0],
    }


def first_state(create: Create, abstract: TrainState, seed: int) -> TrainState:
    """The state before the first step, created with its shardings."""
    sharded = jax.jit(create, out_shardings=meshes.shardings_of(abstract))
    state: TrainState = sharded(jax.random.key(seed))
    return state


def compiled_steps(
    method: Method,
    optimizers: Optimizers,
    config: ConfigDict,
    mesh: jax.sharding.Mesh,
    abstract: TrainState,
) -> Callable[[Regularize], Any]:
    """Jit the train step over the mesh, with donated state.

    Args:
      method, optimizers: see `Assembled`.
      config: complete config.
      mesh: the devices.
      abstract: result of `mesh.lay_out`.

    Returns:
      result of `which_regularize` -> compiled (state, batch, frozen) -> (state, metrics).
    """
    same, split = meshes.replicated(mesh), meshes.batch_sharded(mesh)
    state = meshes.shardings_of(abstract)
    if config.train.fsdp:
        method = method._replace(phases=tuple(_gathering(p, same) for p in method.phases))

    @functools.cache
    def variant(regularize: Regularize) -> Any:
        step = functools.partial(
            train_step,
            method=method,
            optimizers=optimizers,
            ema_decay=ema_decay(config),
            regularize=regularize,
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
    """The same phase with sharded parameters gathered before its losses (FSDP).

    Without this constraint XLA may shard activations along an axis of the parameters instead of
    the batch.
    """

    def whole(loss: LossFn) -> LossFn:
        def on_whole(params: Params, context: Context) -> tuple[Array, Aux]:
            return loss(jax.lax.with_sharding_constraint(params, same), context)

        return on_whole

    regularizer = phase.regularizer and whole(phase.regularizer)
    return phase._replace(loss=whole(phase.loss), regularizer=regularizer)
