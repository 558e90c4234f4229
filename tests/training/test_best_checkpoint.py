"""The best checkpoint by the evaluations during training: kept, found again, never lost."""

import json

import numpy as np
import pytest
import tiny_runs as runs

from ddgan_jax import load
from ddgan_jax.core.errors import UserError
from ddgan_jax.io import best, checkpoint
from ddgan_jax.training.loop import train

FID = {1: 9.0, 2: 6.0, 3: 8.0, 4: 7.0, 5: 4.0, 6: 4.0000001, 7: 6.0, 8: 5.0}  # best at step 5


def config_of(*fields):
    shared = ["eval.every=1 steps", "train.keep=1", "train.checkpoint_every=4 steps"]
    return runs.config_of(*runs.TINY, *runs.flags([*shared, *fields]))


def evaluation(values):
    """An evaluation with the given Fréchet distances by step."""
    return lambda run: lambda state: {"kid": 1.0, "fid": values[int(state.step)]}


def run(workdir, values=FID, config=None, say=lambda text: None):
    return train(config or config_of(), workdir, say=say, make_evaluate=evaluation(values))


def lines(workdir):
    written = (workdir / "evaluation.jsonl").read_text().splitlines()
    return [{**json.loads(line), "seconds": 0} for line in written]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("best") / "whole"
    assert run(workdir) == 0
    return workdir


@pytest.mark.slow
def test_the_best_is_kept_and_nothing_else_changes(whole, tmp_path):
    """The lowest distance is at step 5; that of step 6 is the same to 6 digits, and later."""
    assert runs.steps_saved(whole) == [5, 8]
    runs.assert_same_state(whole, runs.trained(tmp_path / "plain"), 8)
    model = load(whole, step="best")
    assert model.step == 5 and load(whole).step == 8
    assert [line["samples"] for line in lines(whole)] == [2000] * 8


class Crash(Exception):
    """Ends the process at some moment."""


def crash(*args, **kwargs):
    raise Crash


def _deleting(monkeypatch):
    monkeypatch.setattr(checkpoint.Manager, "delete", crash)


def _saving(monkeypatch):
    begin = checkpoint.Manager.save

    def save(manager, step, **kwargs):
        if step == 5:
            raise Crash
        return begin(manager, step, **kwargs)

    monkeypatch.setattr(checkpoint.Manager, "save", save)


def _after_the_save(monkeypatch):
    """The best of a killed run is known from its files alone."""

    def wait(manager):
        manager.wait_until_finished()
        if manager.latest_step() == 5:
            raise Crash
        finish(manager)

    finish = checkpoint.wait
    monkeypatch.setattr(checkpoint, "wait", wait)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "left"), [(_saving, [2, 4]), (_after_the_save, [2, 4, 5]), (_deleting, [1, 2])]
)
def test_a_run_that_ends_at_any_moment_loses_nothing(whole, tmp_path, monkeypatch, moment, left):
    """The best so far is there until a better one was saved."""
    workdir = tmp_path / "run"
    with monkeypatch.context() as patched, pytest.raises((Crash, UserError)):
        moment(patched)
        run(workdir)
    assert runs.steps_saved(workdir) == left
    assert run(workdir) == 0
    assert runs.steps_saved(workdir) == [5, 8]
    assert lines(workdir) == lines(whole)
    runs.assert_same_state(workdir, whole, 8)
    runs.assert_same_state(workdir, whole, 5)


@pytest.mark.slow
def test_commands_take_the_best(whole, tmp_path, capfd):
    few = runs.flags(["eval.num_samples=24", "eval.trials=1", "eval.metrics=frechet"])
    at = f"--workdir={whole}"
    out = tmp_path / "out"
    runs.ok("sample", at, "--step=best", "--num_images=4", f"--out={out}")
    with np.load(out / "samples.npz") as file:
        assert file["step"] == 5
    runs.ok("evaluate", at, "--step=best", f"--out={out}", *few)
    said = json.loads((out / "evaluation.json").read_text())["protocol"]
    assert said["step"] == 5
    assert said["checkpoint"] == "best of 8 evaluations by lowest fid of 2,000 samples"
    runs.ok("export", at, "--step=best", f"--out={tmp_path / 'share'}")
    assert load(tmp_path / "share").step == load(tmp_path / "share", step="best").step == 5
    asked = ["sample", at, f"--out={out}", "--step=best"]
    runs.fails(capfd, [*asked, "--config.eval.best=never"], str(whole), "no best checkpoint")
    runs.fails(capfd, ["sample", at, "--step=last"], "--step", "'last'", "integer")
    runs.fails(capfd, [*runs.TINY, at, "--config.eval.best=fid"], "eval.best", '"lowest NAME"')


@pytest.mark.slow
def test_a_rule_that_names_no_number_is_said(tmp_path):
    said = []
    config = config_of("eval.best=highest recall_vgg16", "train.duration=2 steps")
    run(tmp_path / "run", config=config, say=said.append)
    warned = [line for line in said if "config.eval.best='highest recall_vgg16' is none" in line]
    assert len(warned) == 2 and runs.steps_saved(tmp_path / "run") == [2]


def test_rules():
    table = [
        {"step": 2, "frechet_mnist_classifier": 5.0, "recall": 0.2, "samples": 9.0},
        {"step": 4, "frechet_mnist_classifier": 3.0, "recall": 0.4, "samples": 9.0},
        {"step": 6, "frechet_mnist_classifier": 3.0, "recall": 0.3, "samples": 9.0},
        {"step": 8, "recall": 0.9, "samples": 9.0},
    ]
    assert best.best_step(table, [2, 4, 6, 8], "auto") == 4
    assert best.best_step(table, [2, 6, 8], "auto") == 6
    assert best.best_step(table, [2, 4, 6], "highest recall") == 4
    assert best.best_step(table, [8], "auto") is None
    assert best.best_step(table, [2, 4], "never") is None
    assert best.best_step(table, [2, 4], "lowest fid") is None
    assert best.best_step([], [2], "auto") is None
    few = {"step": 10, "frechet_mnist_classifier": 4.0, "samples": 99.0}
    assert best.best_step([*table, few], [4, 10], "auto") == 10
    assert best.resolve("auto", ["modes_covered", "modes_share"]) is None
    allowed = {"auto": True, "never": True, "lowest fid": True, "fid": False, "best fid": False}
    assert {rule: best.is_rule(rule) for rule in allowed} == allowed
