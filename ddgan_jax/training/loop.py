"""The training loop: train steps, logs, sample grids, evaluations and checkpoints."""

import contextlib
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.config import plugins
from ddgan_jax.config.fields import flatten
from ddgan_jax.config.overrides import as_overrides
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.optimizers import learning_rates
from ddgan_jax.core.train_step import Regularize, which_regularize
from ddgan_jax.core.types import TrainState
from ddgan_jax.inference.outputs import outputs_of
from ddgan_jax.inference.sampling import sampling_params
from ddgan_jax.io import checkpoint, run_folder
from ddgan_jax.io.read_json import read_lines
from ddgan_jax.io.storage import AnyPath, check_name, spooled
from ddgan_jax.methods.unused import without_effect
from ddgan_jax.parallel.agreement import check_agreement
from ddgan_jax.parallel.distributed import on_all_processes, on_process_zero
from ddgan_jax.plotting import curves
from ddgan_jax.plotting import grids as plots
from ddgan_jax.spaces import find_space
from ddgan_jax.training.beginning import (
    changes_since,
    first_or_restored,
    started_with,
    write_facts,
)
from ddgan_jax.training.best import Best, protocol_number
from ddgan_jax.training.feed import feed_batches
from ddgan_jax.training.few_images import few_images_note
from ddgan_jax.training.init_from import Origin, load_weights, recorded
from ddgan_jax.training.metrics_log import LOGS, Clock, MetricsLog, Window, progress_line
from ddgan_jax.training.reals import save_reals
from ddgan_jax.training.setup import Run, compiled_steps, describe, prepare
from ddgan_jax.training.sinks import IDENTIFIERS, check_sinks
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
    origin: Origin | None = None,
    make_steps: Callable[..., Callable[[Regularize], Any]] | None = None,
) -> int:
    """Train a run in `workdir`, or resume it.

    Args:
      config: config of the run; if the folder holds a run, `check_content` says what may differ.
      workdir: the run folder, created if it does not exist.
      say: prints a line.
      devices: devices to use; all if None.
      make_evaluate: run -> the evaluation that `config.eval.every` asks for, such as
        `evaluation.evaluate.during_training`.
      origin: where the first weights of a new run come from; None: they are drawn.
      make_steps: makes the train steps, in the place of `compiled_steps`, to measure the host.

    Returns:
      The exit status: 0, or 128 + the signal that ended the run (after a checkpoint).

    Raises:
      UserError: an invalid config, invalid data, or a run folder that cannot be used.
    """
    if jax.process_index() != 0:
        say = _silent
    check_agreement(started_with(config, workdir, origin))
    on_all_processes(lambda: check_name("--workdir", workdir))
    run = prepare(config, devices, workdir)
    config, evaluate = run.config, None
    on_process_zero(lambda: check_sinks(config.train.sinks))
    if run.plan.eval:
        if make_evaluate is None:
            raise UserError("config.eval.every needs `make_evaluate`; 'never' is needed without it")
        evaluate = on_all_processes(lambda: make_evaluate(run))
    changes = on_all_processes(lambda: changes_since(workdir, config, run))
    began = on_all_processes(lambda: recorded(workdir, origin))
    weights = None
    if origin and not began:
        weights = on_all_processes(lambda: load_weights(origin, run))
        began = weights.record
    info = describe(run) | ({"init_from": began} if began else {})
    check_agreement({"the hash of the data": info["data"]["hash"]})
    for line in [*_description(run, info), *(weights.notes if weights else ())]:
        say(line)
    for change in [*changes, *plugins.changes(workdir, config)]:
        say(f"changed since the run began: {change}")
    for line in without_effect(run.config):
        say(line)

    with contextlib.ExitStack() as held:
        try:
            keep = on_process_zero(lambda: held.enter_context(run_folder.claimed(workdir)))
            if networks := find_space(config).frozen:
                on_process_zero(lambda: networks.copy_into(config, run.frozen, workdir))
            manager = held.enter_context(checkpoint.opened(workdir, config.train.keep))
            state, window = first_or_restored(run, manager, say, weights)
            return _loop(
                run,
                make_steps or compiled_steps,
                evaluate,
                workdir,
                state,
                window,
                manager,
                say,
                keep,
                lambda: write_facts(workdir, config, info),
            )
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
        *(f"  {line}" for line in as_overrides(run.config)),
        *(f"parameters of {role}: {count:,}" for role, count in info["parameters"].items()),
        f"data: {source.name}, {source.size:,} examples of shape {source.shape}",
        *source.notes,
        *few_images_note(run.config, source),
        f"{plan.total:,} steps of {run.config.train.batch_size} on {len(kinds)} x {kinds[0]}, "
        f"{plan.epoch:,} steps an epoch",
        f"each device: {batch:,} of a batch, {state:,.1f} MiB of state; python -m ddgan_jax "
        "scaling counts the activations, which come on top",
    ]


def _loop(
    run: Run,
    make_steps: Callable[..., Callable[[Regularize], Any]],
    evaluate: Evaluate | None,
    workdir: AnyPath,
    state: TrainState,
    window: Window,
    manager: Any,
    say: Say,
    keep_lock: Callable[[], None] | None,
    write_facts: Callable[[], None],
) -> int:
    """Train from `state` to the end of the run, or to a stop signal; returns the exit status.

    config.json and info.json are written if there is a step to train: a run that cannot be resumed,
    or has ended, is left unchanged.
    """
    plan, batch_size = run.plan, run.config.train.batch_size
    start = int(state.step)
    if start >= plan.total:
        say(f"nothing to do: {start} of {plan.total} steps are done")
        return 0
    step_fn = make_steps(run.method, run.optimizers, run.config, run.mesh, run.abstract)
    draw = grid_sampler(run)
    feed, drawn = feed_batches(run, start), False
    compiled: dict[Regularize, Callable[..., Any]] = {}

    roles = dict.fromkeys(phase.role for phase in run.method.phases)
    rates = functools.partial(
        learning_rates,
        run.config.optim,
        tuple(roles),
        total_steps=plan.total,
        steps_per_epoch=plan.epoch,
    )

    def advice() -> str:
        saved = max(manager.all_steps(), default=None)
        kept = "no checkpoint yet" if saved is None else f"checkpoint {saved} is kept"
        return f"{kept} in {workdir}; a lower learning rate may help"

    with StopSignal() as stop, contextlib.closing(feed), contextlib.ExitStack() as files:
        log = send = None
        if jax.process_index() == 0:
            folder, send = files.enter_context(spooled(workdir, *LOGS, *IDENTIFIERS))
            sinks, name = run.config.train.sinks, workdir.name
            log = MetricsLog(folder, start, sinks, name, flatten(run.config))
            files.callback(log.close)
            save_reals(run.source, run.config.train.grid, workdir, folder)
        best = Best(run.config, log)
        manager.best = best.of(manager.all_steps())
        if early := best.ended():
            say(f"nothing to do: ended at step {start}: {early}")
            return 0
        on_process_zero(write_facts)
        clock = Clock(start, plan.total, batch_size, log.seconds if log else 0.0)

        def save(state: TrainState) -> None:
            window.settle(advice)  # only finite states are saved
            if send:
                send()  # before the checkpoint, so that the logs are complete up to it
            on_process_zero(keep_lock or _nothing)
            checkpoint.save(manager, state, window.sums())

        def evaluation(step: int, state: TrainState) -> tuple[bool, str]:
            """Evaluate and log; whether it is the best so far, and why training ends early.

            Raises:
              Stopped: a signal came; a resumed run evaluates this step first.
            """
            assert evaluate
            with clock.pause():
                say(f"evaluating step {step} ...")
                found = stop.unless_stopped(lambda: evaluate(state), together=False)
                if log:
                    progress = {"images": step * batch_size, "seconds": clock.now()}
                    progress |= {"samples": run.config.eval.training_samples}
                    progress |= {"protocol": protocol_number(run.config)}
                    log.evaluation(step, progress | found)
                    line = {run.config.method: read_lines(log.evaluations)}
                    curves.draw(folder / "evaluation.png", line, "images")
                improved = best.of([*manager.all_steps(), step]) == step
                say(best.line(step, found, improved))
                return improved, best.ended()

        if evaluate and start and start % plan.eval == 0 and not best.evaluated(start):
            try:
                improved, early = evaluation(start, state)
            except Stopped:
                say(_stopped(start, start))
                return 128 + stop.number
            manager.best = start if improved else manager.best
            if early:
                say(f"ended at step {start}: {early}")
                return 0

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
            improved, early, unfinished = False, "", False
            if step % plan.log == 0 or last:
                window.settle(advice)
                rate, left = clock.read(step)
                speed = {"images_per_second": rate, "seconds": clock.seconds}
                scalars = window.means() | speed | {"images": step * batch_size}
                say(progress_line(step, plan.total, scalars | {"seconds_left": left}))
                if log:
                    log.write(step, scalars, rates(step))
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
                try:
                    improved, early = evaluation(step, state)
                except Stopped:
                    stopping = unfinished = True
            if step % plan.checkpoint == 0 or last or stopping or improved or early:
                window.settle(advice)  # waits for the step, which is part of the training time
                with clock.pause():
                    save(state)
                    if improved:  # the earlier best is deleted after this save was verified
                        manager.best = step
            if early and not last:
                checkpoint.wait(manager)
                say(f"ended at step {step}: {early}")
                return 0
            if stopping and (unfinished or not last):
                checkpoint.wait(manager)
                say(_stopped(step, start))
                if last:
                    say("the last step was not evaluated: python -m ddgan_jax evaluate does it")
                return 128 + stop.number
        checkpoint.wait(manager)
    say(f"done: {plan.total} steps; checkpoint, metrics and samples are in {workdir}")
    return 0


def _compile(step_fn: Any, *inputs: Any) -> Callable[..., Any]:
    compiled: Callable[..., Any] = step_fn.lower(*inputs).compile()
    return compiled


def _stopped(step: int, start: int) -> str:
    """The line about a stop after a step of a run that began at step `start`."""
    if step > start:
        return f"stopped at step {step} and saved; the same command resumes from here"
    again = f"resumes from step {start}" if start else "begins again"
    line = "stopped before there was anything new to save; the same command"
    return f"{line} {again}"


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
