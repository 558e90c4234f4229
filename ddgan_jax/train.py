"""The training loop: batches in, checkpoints, metrics and sample grids out."""

import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax import checkpoint, plots, run_folder
from ddgan_jax import mesh as meshes
from ddgan_jax.build import build_method, tracing
from ddgan_jax.config import adam, check, require, steps_per_epoch, to_steps, validate
from ddgan_jax.data import load_source
from ddgan_jax.data.pipeline import batches
from ddgan_jax.data.source import Source
from ddgan_jax.errors import UserError
from ddgan_jax.metrics_log import Clock, MetricsLog, Window, progress_line
from ddgan_jax.optim import make_optimisers
from ddgan_jax.sampling import sample_keys
from ddgan_jax.stop_signal import StopSignal
from ddgan_jax.train_step import Optimisers, Regularise, create_state, train_step, which_regularise
from ddgan_jax.types import Array, Method, TrainState

Say = Callable[[str], None]
Create = Callable[[Array], TrainState]


class Plan(NamedTuple):
    """The durations of a config, in steps."""

    total: int
    epoch: int
    log: int
    checkpoint: int
    sample: int


def make_plan(config: ConfigDict, dataset_size: int) -> Plan:
    """Resolve the durations of `config.train` for a dataset of `dataset_size` examples."""
    batch = config.train.batch_size
    check(config, "train.batch_size", batch <= dataset_size, f"at most the data's {dataset_size}")

    def steps(field: str) -> int:
        return to_steps(f"train.{field}", config.train[field], batch, dataset_size)

    return Plan(
        steps("duration"),
        steps_per_epoch(batch, dataset_size),
        steps("log_every"),
        steps("checkpoint_every"),
        steps("sample_every"),
    )


class Run(NamedTuple):
    """All that config, data and devices determine: made before anything compiles or is written."""

    config: ConfigDict
    source: Source
    plan: Plan
    method: Method
    optimisers: Optimisers
    mesh: jax.sharding.Mesh
    create: Create  # key -> the state before the first step
    abstract: TrainState  # its shapes


def prepare(config: ConfigDict, devices: Sequence[jax.Device] | None = None) -> Run:
    """Check everything that can be checked, then build what the loop needs.

    Raises:
      UserError: whatever the user can mend, in one line.
    """
    validate(config)
    mesh = meshes.make_mesh(devices)
    batch_size, parts = config.train.batch_size, config.train.accumulate
    meshes.check_divides("train.batch_size", batch_size, mesh)
    meshes.check_divides("train.batch_size / accumulate", batch_size // parts, mesh)
    source = load_source(config.data)
    plan = make_plan(config, source.size)
    is_image = len(source.shape) == 3
    check(config, "data.flip", is_image or not config.data.flip, f"false with {source.name}")
    parts = assemble(config, source.shape, plan.total, plan.epoch)
    return Run(config, source, plan, *parts[:2], mesh, *parts[2:])


def assemble(
    config: ConfigDict, shape: tuple[int, ...], total: int, epoch: int
) -> tuple[Method, Optimisers, Create, TrainState]:
    """The method, its optimisers, key -> first state, and that state's shapes.

    Args:
      config: of the run.
      shape: of one example of the data.
      total, epoch: steps of the run and of one pass over the data.

    Raises:
      UserError: whatever does not fit together, in one line.
    """
    method = build_method(config, shape)
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
        "processes": jax.process_count(),
        "jax": jax.__version__,
        "python": sys.version.split()[0],
    }


def compiled_steps(
    method: Method, optimisers: Optimisers, config: ConfigDict, mesh: jax.sharding.Mesh
) -> Callable[[Regularise], Any]:
    """`variant -> jitted train step`: state replicated and donated, batch split over the mesh."""

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
        same = meshes.replicated(mesh)
        return jax.jit(
            step,
            in_shardings=(same, meshes.over_batch(mesh), same),
            out_shardings=(same, same),
            donate_argnums=0,
        )

    return variant


def train(
    config: ConfigDict,
    workdir: Path,
    say: Say = print,
    devices: Sequence[jax.Device] | None = None,
) -> int:
    """Train, or train on, the run in `workdir`.

    Args:
      config: of the run; what may differ from a run already there, see `run_folder`.
      workdir: the run folder; made if it is not there.
      say: where lines for a person go.
      devices: to use; all if None.

    Returns:
      The exit status: 0, or 128 + the signal that ended it (after a checkpoint).

    Raises:
      UserError: whatever the user can mend, in one line.
    """
    if jax.process_index() != 0:
        say = _silent
    run = prepare(config, devices)
    changes = run_folder.check_same_run(workdir, config)
    info = describe(run)
    say(f"config:\n{_indent(config)}")
    for role, count in info["parameters"].items():
        say(f"parameters of {role}: {count:,}")
    source, plan, kinds = run.source, run.plan, info["devices"]
    say(f"data: {source.name}, {source.size:,} examples of shape {source.shape}")
    say(f"{plan.total:,} steps of {config.train.batch_size} on {len(kinds)} x {kinds[0]}, "
        f"{plan.epoch:,} steps an epoch")  # fmt: skip
    for change in changes:
        say(f"changed since the run began: {change}")

    if jax.process_index() == 0:
        run_folder.create(workdir)
    try:
        with checkpoint.opened(workdir, config.train.keep) as manager:
            state, window = _start(run, manager, say)
            # Not before: a run that cannot go on is left as it was.
            if jax.process_index() == 0:
                run_folder.save_config(workdir, config)
                run_folder.save_info(workdir, info)
            return _loop(run, workdir, state, window, manager, say)
    except OSError as error:  # full disk, lost permission
        raise UserError(
            f"--workdir={workdir} cannot be written to: {error.strerror or error}; its "
            "checkpoints are kept, the same command goes on from the last"
        ) from error


def _start(run: Run, manager: Any, say: Say) -> tuple[TrainState, Window]:
    """The state of the last checkpoint, or a new one."""
    same = meshes.replicated(run.mesh)
    roles = tuple(phase.role for phase in run.method.phases)
    if not manager.all_steps():
        key = jax.random.key(run.config.seed)
        return jax.jit(run.create, out_shardings=same)(key), Window(roles)
    step = checkpoint.latest_step(manager)
    abstract = checkpoint.with_sharding(run.abstract, same)
    state, sums = checkpoint.restore_state(manager, step, abstract)
    say(f"resumed at step {step}")
    return state, Window(roles, sums)


def _loop(
    run: Run, workdir: Path, state: TrainState, window: Window, manager: Any, say: Say
) -> int:
    plan, batch_size = run.plan, run.config.train.batch_size
    start = int(state.step)
    if start >= plan.total:
        say(f"nothing to do: {start} of {plan.total} steps are done")
        return 0
    step_fn = compiled_steps(run.method, run.optimisers, run.config, run.mesh)
    draw = grid_sampler(run.method, run.config, run.mesh)
    feed = feed_batches(run.config, run.source, run.mesh, start)
    clock = Clock(start, plan.total, batch_size)
    compiled: set[Regularise] = set()

    def advice() -> str:
        saved = max(manager.all_steps(), default=None)
        kept = "no checkpoint yet" if saved is None else f"checkpoint {saved} is kept"
        return f"{kept} in {workdir}; a lower learning rate may help"

    with StopSignal() as stop, contextlib.closing(feed), contextlib.ExitStack() as files:
        log = MetricsLog(workdir, start) if jax.process_index() == 0 else None
        if log:
            files.callback(log.close)
        for step in range(start + 1, plan.total + 1):
            variant = which_regularise(run.method, step - 1)
            began = time.perf_counter()
            state, metrics = step_fn(variant)(state, next(feed), ())
            window.add(step, metrics)
            if variant not in compiled:
                compiled.add(variant)
                jax.block_until_ready(state.step)
                with_what = " with its regulariser" if any(variant) else ""
                say(f"first train step{with_what}: {time.perf_counter() - began:.1f} s")
                clock.restart(step)

            last, stopping = step == plan.total, stop.requested(manager, step)
            if step % plan.log == 0 or last:
                window.settle(advice)
                rate, left = clock.read(step)
                speed = {"images_per_second": rate, "images": step * batch_size}
                scalars = window.means() | speed
                say(progress_line(step, plan.total, scalars, left))
                if log:
                    log.write(step, scalars)
            if step % plan.sample == 0 or last:  # before the checkpoint: none is ever skipped
                grid = plots.picture(draw(state))
                if log:
                    plots.save_png(workdir / "samples" / f"step_{step:08d}.png", grid)
                    log.image("samples", step, grid)
                clock.restart(step)
            if step % plan.checkpoint == 0 or last or stopping:
                window.settle(advice)  # what is saved is finite
                checkpoint.save(manager, state, window.sums())
                clock.restart(step)
            if stopping and not last:
                checkpoint.wait(manager)
                say(f"stopped at step {step} and saved; the same command goes on from here")
                return 128 + stop.number
        checkpoint.wait(manager)
    say(f"done: {plan.total} steps; checkpoint, metrics and samples are in {workdir}")
    return 0


def feed_batches(
    config: ConfigDict, source: Source, mesh: jax.sharding.Mesh, start: int
) -> Generator[dict[str, Array]]:
    """Global batches on the devices from step `start` on, one ahead of the step that uses it."""
    threads = os.cpu_count() or 2  # decoding on demand gains from all of them
    local = batches(
        source,
        config.train.batch_size,
        seed=config.seed,
        start=start,
        flip=config.data.flip,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        prefetch=max(4, threads),
        threads=threads,
    )
    ahead = meshes.shard_batch(next(local), mesh)
    for batch in local:
        ready, ahead = ahead, meshes.shard_batch(batch, mesh)
        yield ready


def grid_sampler(
    method: Method, config: ConfigDict, mesh: jax.sharding.Mesh
) -> Callable[[TrainState], np.ndarray]:
    """`state -> samples` from the same noise each time, with the moving average of the weights."""
    count = config.train.grid
    padded = -(-count // mesh.size) * mesh.size
    same = meshes.replicated(mesh)
    sample = jax.jit(
        method.sample, in_shardings=(same, meshes.over_batch(mesh), same), out_shardings=same
    )
    keys = sample_keys(jax.random.key(config.seed + 1), 0, padded)

    def draw(state: TrainState) -> np.ndarray:
        return np.asarray(sample({**state.params, **state.ema}, keys, ()))[:count]

    return draw


def _silent(text: str) -> None:
    del text


def _indent(config: ConfigDict) -> str:
    return "\n".join("  " + line for line in str(config).splitlines() if line.strip())
