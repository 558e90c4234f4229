"""The training loop: train steps, logs, sample grids, evaluations and checkpoints."""

import contextlib
import functools
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.config import plugins
from ddgan_jax.config.fields import flatten
from ddgan_jax.config.stored import read_config, save_config
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.train_step import Regularize, which_regularize
from ddgan_jax.core.types import Array, TrainState
from ddgan_jax.data.pipeline import batches
from ddgan_jax.inference.outputs import outputs_of
from ddgan_jax.inference.same_run import check_content
from ddgan_jax.inference.sampling import sampling_params
from ddgan_jax.io import checkpoint, run_folder
from ddgan_jax.io.best import best_step, resolve
from ddgan_jax.io.read_json import read_lines
from ddgan_jax.io.storage import AnyPath, check_name, is_remote, spooled
from ddgan_jax.methods import complete_config
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.parallel.agreement import check_agreement
from ddgan_jax.parallel.distributed import (
    broadcast_from_zero,
    on_all_processes,
    on_process_zero,
)
from ddgan_jax.plotting import curves
from ddgan_jax.plotting import grids as plots
from ddgan_jax.spaces import find_space
from ddgan_jax.training.few_images import few_images_note
from ddgan_jax.training.metrics_log import (
    LOGS,
    Clock,
    MetricsLog,
    Window,
    evaluation_line,
    progress_line,
)
from ddgan_jax.training.reals import save_reals
from ddgan_jax.training.setup import Run, compiled_steps, describe, first_state, prepare
from ddgan_jax.training.stop_signal import Stopped, StopSignal

EARLY = (1, 10)  # steps of this process after which there is a line in any case

Say = Callable[[str], None]
Evaluate = Callable[[TrainState], dict[str, float]]  # train state -> metrics by name


def train(
    config: ConfigDict,
    workdir: AnyPath,
    say: Say = print,
    devices: Sequence[jax.Device] | None = None,
    make_evaluate: Callable[[Run], Evaluate] | None = None,
) -> int:
    """Train a run in `workdir`, or resume it.

    Args:
      config: config of the run; if the folder holds a run, `check_content` says what may differ.
      workdir: the run folder, created if it does not exist.
      say: prints a line.
      devices: devices to use; all if None.
      make_evaluate: run -> the evaluation that `config.eval.every` asks for, such as
        `evaluation.evaluate.during_training`.

    Returns:
      The exit status: 0, or 128 + the signal that ended the run (after a checkpoint).

    Raises:
      UserError: an invalid config, invalid data, or a run folder that cannot be used.
    """
    if jax.process_index() != 0:
        say = _silent
    check_agreement(started_with(config, workdir))
    on_all_processes(lambda: check_name("--workdir", workdir))
    run = prepare(config, devices, workdir)
    config, evaluate = run.config, None
    if run.plan.eval:
        if make_evaluate is None:
            raise UserError("config.eval.every needs `make_evaluate`; 'never' is needed without it")
        evaluate = on_all_processes(lambda: make_evaluate(run))
    changes = on_all_processes(lambda: changes_since(workdir, config, run))
    info = describe(run)
    check_agreement({"the hash of the data": info["data"]["hash"]})
    for line in _description(run, info):
        say(line)
    for change in [*changes, *plugins.changes(workdir, config)]:
        say(f"changed since the run began: {change}")

    with contextlib.ExitStack() as held:
        try:
            keep = on_process_zero(lambda: held.enter_context(run_folder.claimed(workdir)))
            if networks := find_space(config).frozen:
                on_process_zero(lambda: networks.copy_into(config, run.frozen, workdir))
            manager = held.enter_context(checkpoint.opened(workdir, config.train.keep))
            state, window = _start(run, manager, say)
            # After the restore: a run that cannot be resumed is left unchanged.
            if jax.process_index() == 0:
                save_config(workdir, config)
                plugins.save_copies(workdir, config)
                run_folder.save_info(workdir, info)
            return _loop(run, evaluate, workdir, state, window, manager, say, keep)
        except OSError as error:  # full disk, lost permission
            raise UserError(
                f"--workdir={workdir} cannot be written to: {error.strerror or error}; its "
                "checkpoints are kept, the same command resumes from the last"
            ) from error


def _description(run: Run, info: Mapping[str, Any]) -> list[str]:
    """Config, parameters, data, steps and memory of a run, as lines."""
    source, plan, kinds = run.source, run.plan, info["devices"]
    batch, state = info["batch_per_device"], info["state_bytes_per_device"] / 2**20
    return [
        "config:",
        *("  " + line for line in str(run.config).splitlines() if line.strip()),
        *(f"parameters of {role}: {count:,}" for role, count in info["parameters"].items()),
        f"data: {source.name}, {source.size:,} examples of shape {source.shape}",
        *source.notes,
        *few_images_note(run.config, source),
        f"{plan.total:,} steps of {run.config.train.batch_size} on {len(kinds)} x {kinds[0]}, "
        f"{plan.epoch:,} steps an epoch",
        f"each device: {batch:,} of a batch, {state:,.1f} MiB of state; python -m ddgan_jax "
        "scaling counts the activations, which come on top",
    ]


def started_with(config: ConfigDict, workdir: AnyPath) -> dict[str, str]:
    """Everything that all processes of a run have to be started with, by name."""
    values = {f"config.{name}": repr(value) for name, value in flatten(config).items()}
    full = str(workdir) if is_remote(workdir) else os.path.abspath(workdir)
    return {"--workdir": full, **values}


def changes_since(workdir: AnyPath, config: ConfigDict, run: Run) -> list[str]:
    """Changes of the config since the run in `workdir` began, as lines.

    A run without a checkpoint has nothing to protect, so its config may change in any way.

    Raises:
      UserError: a change that is not allowed, so that `workdir` holds another run; or data that
        have changed.
    """
    if (workdir / "config.json").exists():
        if not run_folder.has_checkpoint(workdir):
            return []
        saved = complete_config(read_config(workdir))
        networks = find_space(config).frozen
        hashes = networks.hashes(config, workdir, run.mesh) if networks else None
        return check_content(workdir, saved, config, lambda: run.source, hashes, always=True)
    folder = workdir / "checkpoints"
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(
            f"--workdir={workdir} has checkpoints but no config.json, so their run is unknown; "
            "choose another --workdir"
        )
    return []


def _start(run: Run, manager: Any, say: Say) -> tuple[TrainState, Window]:
    """The state of the last checkpoint, or a new one."""
    roles = tuple(phase.role for phase in run.method.phases)
    if not manager.all_steps():
        say("compiling the first weights ...")
        return first_state(run.create, run.abstract, run.config.seed), Window(roles)
    state, sums = checkpoint.restore_newest(manager, run.abstract, say)
    say(f"resumed at step {int(state.step)}")
    return state, Window(roles, sums)


def _loop(
    run: Run,
    evaluate: Evaluate | None,
    workdir: AnyPath,
    state: TrainState,
    window: Window,
    manager: Any,
    say: Say,
    keep_lock: Callable[[], None] | None,
) -> int:
    """Train from `state` to the end of the run, or to a stop signal; returns the exit status."""
    plan, batch_size = run.plan, run.config.train.batch_size
    start = int(state.step)
    if start >= plan.total:
        say(f"nothing to do: {start} of {plan.total} steps are done")
        return 0
    step_fn = compiled_steps(run.method, run.optimizers, run.config, run.mesh, run.abstract)
    draw = grid_sampler(run)
    feed, drawn = feed_batches(run, start), False
    compiled: dict[Regularize, Callable[..., Any]] = {}

    def advice() -> str:
        saved = max(manager.all_steps(), default=None)
        kept = "no checkpoint yet" if saved is None else f"checkpoint {saved} is kept"
        return f"{kept} in {workdir}; a lower learning rate may help"

    with StopSignal() as stop, contextlib.closing(feed), contextlib.ExitStack() as files:
        log = send = None
        if jax.process_index() == 0:
            folder, send = files.enter_context(spooled(workdir, *LOGS))
            log = MetricsLog(folder, start)
            files.callback(log.close)
            save_reals(run.source, run.config.train.grid, workdir, folder)
        best = _Best(run.config, log)
        manager.best = best.of(manager.all_steps())
        clock = Clock(start, plan.total, batch_size, log.seconds if log else 0.0)

        def save(state: TrainState) -> None:
            window.settle(advice)  # only finite states are saved
            if send:
                send()  # before the checkpoint, so that the logs are complete up to it
            on_process_zero(keep_lock or _nothing)
            checkpoint.save(manager, state, window.sums())

        for step in range(start + 1, plan.total + 1):
            variant = which_regularize(run.method, step - 1)
            batch, new = next(feed), variant not in compiled
            if new:
                with_what = " with its regularizer" if any(variant) else ""
                say(f"compiling the train step{with_what} ...")
                began = time.perf_counter()
                try:
                    compiled[variant] = stop.unless_stopped(
                        functools.partial(_compile, step_fn(variant), state, batch, run.frozen)
                    )
                except Stopped:
                    if step - 1 > start:
                        save(state)
                        checkpoint.wait(manager)
                    say(_stopped(step - 1, start))
                    return 128 + stop.number
            state, metrics = compiled[variant](state, batch, run.frozen)
            window.add(step, metrics)
            if new:
                jax.block_until_ready(state.step)
                say(f"first train step{with_what}: {time.perf_counter() - began:.1f} s")
                clock.forget(step)

            if step - start in EARLY and step % plan.log and step != plan.total:
                window.settle(advice)
                say(progress_line(step, plan.total, window.means_so_far() | clock.so_far(step)))
            last, stopping = step == plan.total, stop.requested(manager, step)
            improved = False
            if step % plan.log == 0 or last:
                window.settle(advice)
                rate, left = clock.read(step)
                speed = {"images_per_second": rate, "seconds": clock.seconds}
                scalars = window.means() | speed | {"images": step * batch_size}
                say(progress_line(step, plan.total, scalars | {"seconds_left": left}))
                if log:
                    log.write(step, scalars)
            if step % plan.sample == 0 or last:  # before the checkpoint, so that none is skipped
                window.settle(advice)  # waits for the step, which is part of the training time
                with clock.pause():
                    if not drawn:
                        say("compiling the sampler of the grid ...")
                    drawn = True
                    grid = plots.picture(draw(state))
                    if log:
                        plots.save_png(folder / "samples" / f"step_{step:08d}.png", grid)
                        log.image("samples", step, grid)
            if evaluate and (step % plan.eval == 0 or last):
                window.settle(advice)
                with clock.pause():
                    say(f"evaluating step {step} ...")
                    found = evaluate(state)
                    if log:
                        progress = {"images": step * batch_size, "seconds": clock.now()}
                        progress |= {"samples": run.config.eval.training_samples}
                        log.evaluation(step, progress | found)
                        line = {run.config.method: read_lines(log.evaluations)}
                        curves.draw(folder / "evaluation.png", line, "images")
                    improved = best.of([*manager.all_steps(), step]) == step
                    say(best.line(step, found, improved))
            if step % plan.checkpoint == 0 or last or stopping or improved:
                window.settle(advice)  # waits for the step, which is part of the training time
                with clock.pause():
                    save(state)
                    if improved:  # the earlier best is deleted after this save was verified
                        manager.best = step
            if stopping and not last:
                checkpoint.wait(manager)
                say(_stopped(step, start))
                return 128 + stop.number
        checkpoint.wait(manager)
    say(f"done: {plan.total} steps; checkpoint, metrics and samples are in {workdir}")
    return 0


class _Best:
    """Which of the saved steps has the best evaluation, the same on all processes.

    Args:
      config: complete config.
      log: the log of process 0, None on the others.
    """

    def __init__(self, config: ConfigDict, log: MetricsLog | None) -> None:
        self._rule, self._log = config.eval.best, log

    def of(self, steps: Sequence[int]) -> int | None:
        """The best of the steps; None if none was evaluated (collective)."""
        steps = sorted(set(steps))
        lines = read_lines(self._log.evaluations) if self._log else []
        found = best_step(lines, steps, self._rule)
        index = broadcast_from_zero(-1 if found is None else steps.index(found))
        return None if index < 0 else steps[int(index)]

    def line(self, step: int, found: Mapping[str, float], improved: bool) -> str:
        """The line of an evaluation, with what it means for the best checkpoint."""
        line = evaluation_line(step, found)
        if improved:
            return f"{line}  (best so far, kept)"
        if self._rule in ("auto", "never") or resolve(self._rule, found):
            return line
        return f"{line}  (warning: config.eval.best={self._rule!r} is none of these numbers)"


def _compile(step_fn: Any, *inputs: Any) -> Callable[..., Any]:
    compiled: Callable[..., Any] = step_fn.lower(*inputs).compile()
    return compiled


def _stopped(step: int, start: int) -> str:
    """The line about a stop after a step of a run that began at step `start`."""
    if step > start:
        return f"stopped at step {step} and saved; the same command resumes from here"
    return (
        "stopped while compiling, before there was anything to save; the same command begins again"
    )


def feed_batches(run: Run, start: int) -> Generator[dict[str, Array]]:
    """Yield global batches on the devices from step `start` on, one of them ahead in transfer."""
    config, mesh = run.config, run.mesh
    threads = os.cpu_count() or 2  # for decoding on demand
    local = batches(
        run.feed,
        config.train.batch_size,
        seed=config.seed,
        start=start,
        flip=config.data.flip and run.feed is run.source,  # latents include mirrored images
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        prefetch=max(4, threads),
        threads=threads,
    )
    ahead = meshes.shard_batch(next(local), mesh)
    for batch in local:
        ready, ahead = ahead, meshes.shard_batch(batch, mesh)
        yield ready


def grid_sampler(run: Run) -> Callable[[TrainState], np.ndarray]:
    """Images of a sample grid as a function of the train state, from the same noise each time.

    Returns:
      state -> images [n, ...], made with the averaged weights.
    """
    outputs = outputs_of(
        run.method,
        run.config,
        run.source,
        run.mesh,
        run.frozen,
        jax.random.key(run.config.seed + 1),
        run.config.train.grid,
    )
    return lambda state: outputs.grid(sampling_params(state))


def _nothing() -> None:
    """Do nothing; the lock of all processes but the first."""


def _silent(text: str) -> None:
    """Print nothing; used by all processes but the first."""
    del text
