"""A run that was stopped, crashed or killed and then resumed equals an undisturbed run."""

import json
import random
import signal
import time

import pytest
import tiny_runs as runs

from ddgan_jax import load
from ddgan_jax.cli import main
from ddgan_jax.config.stored import read_config
from ddgan_jax.methods import complete_config
from ddgan_jax.training.loop import train

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


def test_a_second_interrupt_does_not_wait(tmp_path, monkeypatch, capfd):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("ddgan_jax.training.loop.progress_line", lambda *args: twice())
    args = [*runs.TINY, f"--workdir={tmp_path / 'run'}"]
    assert main(args) == 130
    assert "Traceback" not in capfd.readouterr().err
    assert runs.steps_saved(tmp_path / "run") == []


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


def test_run_folders_from_before_the_reconstruction_go_on_without_it(tmp_path):
    run = runs.trained(tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    assert config.pop("reconstruction")["kind"] == "none"
    (run / "config.json").write_text(json.dumps(config))
    assert complete_config(read_config(run)).reconstruction.kind == "none"
    assert load(run).step == 8
    runs.ok(*runs.TINY, "--config.train.duration=9 steps", f"--workdir={run}")
    assert runs.steps_saved(run)[-1] == 9
