"""A run that was stopped, crashed or killed and then resumed equals an undisturbed run."""

import json
import os
import random
import signal
import threading
import time

import pytest
import tiny_runs as runs

from ddgan_jax import load
from ddgan_jax.cli import main
from ddgan_jax.config.stored import read_config
from ddgan_jax.io.read_json import read_lines
from ddgan_jax.methods import complete_config
from ddgan_jax.training import loop
from ddgan_jax.training.loop import train
from ddgan_jax.training.stop_signal import StopSignal

EVERY = "--config.train.checkpoint_every="


def config_of(*args):
    return runs.config_of(*runs.TINY, *args)


def acting_on(line, act):
    """A `say` that calls `act` when a line begins with `line`."""
    return lambda text: act() if text.startswith(line) else None


def crash():
    raise RuntimeError("crash")


def same(one, other, step=8):
    runs.assert_same_state(one, other, step)
    assert runs.metrics(one) == runs.metrics(other)
    pictures = [{p.name for p in (run / "samples").iterdir()} for run in (one, other)]
    assert pictures[1] <= pictures[0]  # a part that ended early has an additional last grid


@pytest.mark.slow
def test_the_comparison_sees_a_difference(tmp_path):
    run = runs.trained(tmp_path / "run")
    runs.ok(*runs.TINY, "--config.seed=1", EVERY + "8 steps", f"--workdir={tmp_path / 'other'}")
    with pytest.raises(AssertionError):
        runs.assert_same_state(run, tmp_path / "other", 8)
    assert runs.metrics(run) != runs.metrics(tmp_path / "other")
    names = runs.saved(run, 8)
    for part in ("'step'", "'key'", "'params'", "'opt_state'", "'ema'"):
        assert any(part in name for name in names), part


@pytest.mark.slow
def test_stopped_by_a_signal_within_a_window_of_metrics(tmp_path):
    """A signal in step 3 saves step 4; the means logged for steps 4 to 6 still cover all three."""
    stop = acting_on("step 3/8", lambda: signal.raise_signal(signal.SIGTERM))
    config, workdir = config_of(), tmp_path / "run"
    assert train(config, workdir, say=stop) == 128 + signal.SIGTERM
    assert runs.steps_saved(workdir) == [4]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert train(config, workdir, say=lambda text: None) == 0
    same(workdir, runs.trained(tmp_path / "whole"))


@pytest.mark.slow
def test_crashed_after_lines_beyond_the_checkpoint(tmp_path):
    config, workdir = config_of(EVERY + "4 steps"), tmp_path / "run"
    with pytest.raises(RuntimeError, match="crash"):
        train(config, workdir, say=acting_on("step 8/8", crash))
    assert runs.steps_saved(workdir) == [4]
    assert [line["step"] for line in runs.metrics(workdir)] == [
        3,
        6,
    ]  # the line of step 6 is written again
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "gen/lo')  # an incomplete line
    assert train(config, workdir, say=lambda text: None) == 0
    same(workdir, runs.trained(tmp_path / "whole"))


@pytest.mark.slow
def test_parts_of_a_run_with_longer_duration(tmp_path):
    """With a constant rate, 9 steps continued to 12 equal a run of 12 steps."""
    flat = [f"--config.optim.{r}.final_learning_rate=5e-4" for r in ("gen", "disc")]
    flat += [f"--config.optim.{r}.learning_rate=5e-4" for r in ("gen", "disc")]
    parts, whole = f"--workdir={tmp_path / 'parts'}", f"--workdir={tmp_path / 'whole'}"
    runs.ok(*runs.TINY, *flat, parts, "--config.train.duration=9 steps")
    runs.ok(parts, "--config.train.duration=12 steps")
    runs.ok(*runs.TINY, *flat, whole, "--config.train.duration=12 steps")
    same(tmp_path / "parts", tmp_path / "whole", 12)


@pytest.mark.slow
def test_a_second_interrupt_does_not_wait(tmp_path, monkeypatch, capfd):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("ddgan_jax.training.loop.progress_line", lambda *args: twice())
    args = [*runs.TINY, f"--workdir={tmp_path / 'run'}"]
    assert main(args) == 130
    assert "Traceback" not in capfd.readouterr().err
    assert runs.steps_saved(tmp_path / "run") == []


@pytest.mark.slow
def test_a_signal_during_an_evaluation_saves_and_the_resumed_run_evaluates_first(tmp_path):
    flags = runs.flags(["eval.every=4 steps", "train.checkpoint_every=100 steps"])
    config, release, calls = runs.config_of(*runs.TINY, *flags), threading.Event(), []

    def make(stop_at):
        def evaluate(state):
            calls.append(int(state.step))
            if calls == [stop_at]:
                os.kill(os.getpid(), signal.SIGTERM)
                release.wait(60)
            return {"fid": float(state.step)}

        return lambda run: evaluate

    workdir, whole, said = tmp_path / "run", tmp_path / "whole", []
    began = time.monotonic()
    try:
        assert train(config, workdir, said.append, make_evaluate=make(4)) == 128 + signal.SIGTERM
    finally:
        release.set()
    assert time.monotonic() - began < 55 and "stopped at step 4 and saved" in said[-1]
    assert runs.steps_saved(workdir) == [4]
    assert train(config, workdir, said.append, make_evaluate=make(0)) == 0
    assert calls == [4, 4, 8]
    assert train(config, whole, said.append, make_evaluate=make(0)) == 0
    lines = [
        [(line["step"], line["fid"]) for line in read_lines(folder / "evaluation.jsonl")]
        for folder in (workdir, whole)
    ]
    assert lines[0] == lines[1] == [(4, 4.0), (8, 8.0)]
    same(workdir, whole)


# --- signals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM])
def test_all_stop_signals_save_first(number):
    before = signal.getsignal(number)
    with StopSignal() as stop:
        signal.raise_signal(number)
        assert stop.requested(None, 1) and stop.number == number
    assert signal.getsignal(number) == before


def test_ignored_signals_stay_ignored():
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignal() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert not stop.requested(None, 1)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_signals_stop_all_processes_as_sigterm_does(monkeypatch):
    """Of several processes, jax tells the others of SIGTERM alone."""
    monkeypatch.setattr("jax.process_count", lambda: 2)
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        with StopSignal():
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGUSR1)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM] * 2


@pytest.mark.slow
@pytest.mark.parametrize("compilation", [1, 2])
def test_a_signal_during_compilation_is_obeyed_at_once(tmp_path, monkeypatch, compilation):
    """At the first one there is nothing to save; at the second one the steps before it are saved.

    The second is that of the step without regularizer, which is the second step.
    """
    original, begun, release = loop._compile, [], threading.Event()

    def slow(*inputs):
        begun.append(time.monotonic())
        if len(begun) == compilation:
            signal.raise_signal(signal.SIGTERM)
            release.wait(60)
        return original(*inputs)

    monkeypatch.setattr(loop, "_compile", slow)
    config, workdir, said = config_of(), tmp_path / "run", []
    try:
        assert train(config, workdir, say=said.append) == 128 + signal.SIGTERM
        assert time.monotonic() - begun[-1] < 10
    finally:
        release.set()
    assert runs.steps_saved(workdir) == [1] * (compilation - 1)
    if compilation == 2:
        assert "stopped at step 1 and saved" in said[-1]
    assert ("before there was anything new to save" in said[-1]) == (compilation == 1)
    monkeypatch.undo()
    assert train(config, workdir, say=lambda text: None) == 0
    same(workdir, runs.trained(tmp_path / "whole"))


@pytest.mark.slow
def test_lines_before_compilations_and_after_the_first_steps(tmp_path):
    config = config_of("--config.train.duration=12 steps", "--config.train.log_every=100 steps")
    said = []
    assert train(config, tmp_path / "run", say=said.append) == 0
    at = [
        next(i for i, line in enumerate(said) if line.startswith(word))
        for word in (
            "compiling the first weights",
            "compiling the train step with its regularizer",
            "first train step with its regularizer",
            "step 1/12  loss: ",
            "compiling the train step ...",
            "first train step: ",
            "step 10/12  loss: ",
            "step 12/12  loss: ",
            "compiling the sampler of the grid",
        )
    ]
    assert at == sorted(at), said
    assert "images/s" not in said[at[3]] and "images/s" in said[at[6]]
    assert [line["step"] for line in runs.metrics(tmp_path / "run")] == [12]


# --- processes ---------------------------------------------------------------------------------

LONG = [*runs.TINY, "--config.train.duration=140 steps", "--config.train.sample_every=50 steps"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted") / "run"
    code, _, err = runs.finish(runs.start(*LONG, f"--workdir={workdir}"))
    assert code == 0, err
    return workdir


@pytest.mark.cluster
def test_killed_at_random_moments_and_then_terminated(tmp_path, uninterrupted):
    """With a checkpoint at every step, most kills interrupt the saving of one."""
    workdir = tmp_path / "run"
    command = [*LONG, f"--workdir={workdir}", EVERY + "1 steps", "--config.train.keep=3"]
    moments, kills, half_saved = random.Random(0), 0, 0
    for _ in range(6):
        process = runs.start(*command)
        before = max(runs.steps_saved(workdir), default=0)
        runs.until_saved(workdir, before + 1, process)
        time.sleep(moments.uniform(0, 0.3))
        process.kill()
        code, _, err = runs.finish(process)
        assert code in (0, -signal.SIGKILL), err
        kills += code != 0
        half_saved += bool(list((workdir / "checkpoints").glob("*tmp*")))
        assert max(runs.steps_saved(workdir)) > before  # complete checkpoints are kept
    assert kills >= 4 and half_saved >= 1, "the run was too short to be killed"

    process = runs.start(*command)
    before = max(runs.steps_saved(workdir))
    runs.until_saved(workdir, before + 10, process)
    process.terminate()
    code, out, err = runs.finish(process)
    assert code == 128 + signal.SIGTERM and err == "", err
    step = max(runs.steps_saved(workdir))
    assert before + 10 <= step < 140 and f"stopped at step {step} and saved" in out
    code, out, err = runs.finish(runs.start(*command, EVERY + "100 steps"))
    assert code == 0 and f"resumed at step {step}\n" in out, err
    assert not list((workdir / "checkpoints").glob("*tmp*"))  # incomplete checkpoints are deleted
    same(workdir, uninterrupted, 140)


@pytest.mark.slow
def test_run_folders_from_before_the_reconstruction_go_on_without_it(tmp_path):
    run = runs.trained(tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    assert config.pop("reconstruction")["kind"] == "none"
    (run / "config.json").write_text(json.dumps(config))
    assert complete_config(read_config(run)).reconstruction.kind == "none"
    assert load(run).step == 8
    runs.ok(*runs.TINY, "--config.train.duration=9 steps", f"--workdir={run}")
    assert runs.steps_saved(run)[-1] == 9
