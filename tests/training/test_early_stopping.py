"""`eval.patience`: training ends after evaluations without a better one, and resumed runs agree."""

import json

import pytest
import tiny_runs as runs

from ddgan_jax.config import BASE_FIELDS
from ddgan_jax.core.errors import UserError
from ddgan_jax.io import best
from ddgan_jax.training.loop import train

FID = {1: 9.0, 2: 6.0, 3: 8.0, 4: 7.0, 5: 6.0, 6: 3.0, 7: 4.0, 8: 5.0}  # three after step 2


def config_of(*fields):
    shared = ["eval.every=1 steps", "train.checkpoint_every=4 steps", "train.keep=1"]
    return runs.config_of(*runs.TINY, *runs.flags([*shared, *fields]))


def run(workdir, patience, *fields, say=lambda text: None):
    def evaluation(run):
        return lambda state: {"kid": 1.0, "fid": FID[int(state.step)]}

    config = config_of(f"eval.patience={patience}", *fields)
    return train(config, workdir, say=say, make_evaluate=evaluation)


def evaluated(workdir):
    lines = (workdir / "evaluation.jsonl").read_text().splitlines()
    return [json.loads(line)["step"] for line in lines]


@pytest.mark.slow
def test_a_run_ends_and_a_resumed_run_decides_the_same(tmp_path):
    whole, parts, said = tmp_path / "whole", tmp_path / "parts", []
    assert run(whole, 3, say=said.append) == 0
    assert evaluated(whole) == [1, 2, 3, 4, 5] and runs.steps_saved(whole) == [2, 5]
    assert said[-1].startswith("ended at step 5: 3 evaluations without a better one")

    def killed(line):
        if line.startswith("step 5  "):
            raise RuntimeError("after the line of the deciding evaluation, before its checkpoint")

    with pytest.raises(RuntimeError):
        run(parts, 3, say=killed)
    assert evaluated(parts) == [1, 2, 3, 4, 5] and runs.steps_saved(parts) == [2, 4]
    assert run(parts, 3) == 0
    assert evaluated(parts) == [1, 2, 3, 4, 5] and runs.steps_saved(parts) == [2, 5]
    runs.assert_same_state(parts, whole, 5)

    said.clear()
    assert run(whole, 3, say=said.append) == 0
    assert said[-1].startswith("nothing to do: ended at step 5") and evaluated(whole)[-1] == 5
    assert run(whole, 4) == 0  # more patience sees the better evaluation of step 6
    assert evaluated(whole) == list(range(1, 9)) and runs.steps_saved(whole) == [6, 8]
    runs.assert_same_state(whole, runs.trained(tmp_path / "plain"), 8)


@pytest.mark.slow
def test_patience_for_a_number_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"patience is 2.*eval\.best='lowest recall'.*kid, fid"):
        run(tmp_path / "run", 2, "eval.best=lowest recall")


def test_counting():
    lines = [{"step": s, "fid": v, "samples": 9.0} for s, v in FID.items()]
    assert [best.without_better(lines[:n], "auto") for n in range(9)] == [
        *(0, 0, 0, 1, 2, 3, 0, 1, 2)
    ]
    assert best.without_better(lines, "highest fid") == 7
    assert best.without_better(lines, "lowest kid") == best.without_better([], "auto") == 0
    lines[2] |= {"samples": 99.0}  # of another number of samples, which does not compare
    assert best.without_better(lines[:5], "auto") == 2
    of_another_reference = {"step": 1, "fid": 1.0, "samples": 9.0, "protocol": 8}
    lines = [of_another_reference, {"step": 2, "fid": 3.0, "samples": 9.0, "protocol": 7}]
    assert best.best_step(lines, [1, 2], "auto") == 2 and best.without_better(lines, "auto") == 0
    del of_another_reference["protocol"]  # as in lines of 0.1.0, which compare
    assert best.best_step(lines, [1, 2], "auto") == 1 and best.without_better(lines, "auto") == 1


def test_patience_needs_evaluations(tmp_path, capfd):
    at = f"--workdir={tmp_path / 'run'}"
    runs.fails(capfd, [*runs.TINY, at, "--config.eval.patience=2"], "eval.patience is 2", "never")
    fields = ["eval.every=1 steps", "eval.best=never", "eval.patience=2"]
    runs.fails(capfd, [*runs.TINY, at, *runs.flags(fields)], "eval.patience is 2")
    runs.fails(capfd, [*runs.TINY, at, "--config.eval.patience=-1"], "an integer >= 0")
    assert BASE_FIELDS["eval.patience"].may_change
