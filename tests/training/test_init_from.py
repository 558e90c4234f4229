"""`--init_from`: new runs that begin from the weights of another run folder."""

import json
import shutil

import jax
import numpy as np
import pytest
import tiny_runs as runs

from ddgan_jax import Trainer, UserError, load
from ddgan_jax.training.init_from import parse


def config_of(*fields):
    return runs.config_of(*runs.TINY, *runs.flags(fields))


CONFIG = config_of("seed=5")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("init_from")
    runs.trained(folder / "run")
    runs.ok("export", f"--workdir={folder / 'run'}", f"--out={folder / 'averages'}")
    return folder


def weights(state):
    """(generator, its average, discriminator), flat."""
    trees = (state.params["gen"], state.ema["gen"], state.params["disc"])
    return [np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)]) for tree in trees]


def saved(run, step):
    """(average, generator, discriminator) in a checkpoint, flat."""
    arrays = runs.saved(run, step)
    starts = ("['ema']['gen']", "['state']['params']['gen']", "['state']['params']['disc']")
    return [
        np.concatenate([np.ravel(v) for k, v in arrays.items() if k.startswith(start)])
        for start in starts
    ]


def test_averaged_weights_and_everything_else_new(source):
    state = Trainer(CONFIG, init_from=f"{source / 'run'}@4").state
    average, _, disc = saved(source / "run", 4)
    for found, expected in zip(weights(state), (average, average, disc), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert int(state.step) == 0
    fresh = Trainer(CONFIG).state
    jax.tree.map(np.testing.assert_array_equal, state.opt_state, fresh.opt_state)
    np.testing.assert_array_equal(state.key, fresh.key)


def test_of_averages_alone_the_rest_is_new(source):
    """Exported and converted folders have no discriminator."""
    state = Trainer(CONFIG, init_from=str(source / "averages")).state
    average, _, disc = saved(source / "run", 8)
    found = weights(state)
    np.testing.assert_array_equal(found[0], average)
    np.testing.assert_array_equal(found[2], weights(Trainer(CONFIG).state)[2])
    assert not np.array_equal(found[2], disc)


@pytest.mark.slow
def test_a_run_from_weights_needs_its_source_no_more(source, tmp_path, capfd):
    moved, run, trainer_run = tmp_path / "source", tmp_path / "run", tmp_path / "trainer"
    shutil.copytree(source / "run", moved)
    train = [*runs.TINY, "--config.seed=5", f"--workdir={run}"]
    begin = [f"--init_from={moved}@4", "--init_weights=raw"]
    capfd.readouterr()
    runs.ok(*train, *begin, "--config.train.duration=2 steps")
    said = capfd.readouterr().out
    assert f"first weights: raw of gen, {moved}@4" in said and "seed" not in said.split("first")[1]
    info = json.loads((run / "info.json").read_text())["init_from"]
    assert {k: info[k] for k in ("folder", "step", "weights", "roles")} == {
        **{"folder": str(moved), "step": 4},
        **{"weights": "raw", "roles": ["disc", "gen"]},
    }
    assert len(info["hash"]) == 16

    runs.fails(capfd, [*train, "--init_from=x"], "raw weights of", "--init_from=x", "--workdir")
    for flag in (f"--init_from={moved}", f"--init_from={moved}@8"):
        runs.fails(capfd, [*train, flag, "--config.train.duration=3 steps"], "asks for another")
    shutil.rmtree(moved)
    runs.ok(*train, *begin, "--config.train.duration=3 steps")
    runs.ok(*train, "--config.train.duration=4 steps")
    assert json.loads((run / "info.json").read_text())["init_from"] == info
    assert load(run).step == 4

    # The first steps are the same by the Trainer, which keeps the record as well.
    config = config_of("seed=5", "train.duration=2 steps")
    trainer = Trainer(config, init_from=str(source / "averages"))
    record = json.loads((trainer.save(trainer_run) / "info.json").read_text())["init_from"]
    assert record["weights"] == "ema" and record["roles"] == ["gen"]
    again = Trainer(config, workdir=trainer_run, init_from=str(source / "averages"))
    again.step(2)
    whole = tmp_path / "whole"
    args = [*train[:-1], f"--workdir={whole}", f"--init_from={source / 'averages'}"]
    runs.ok(*args, "--config.train.duration=2 steps")
    runs.assert_same_state(again.save(), whole, 2)
    assert json.loads((trainer_run / "info.json").read_text())["init_from"] == record


def test_a_run_without_a_checkpoint_yet_does_not_begin_otherwise(source, tmp_path, capfd):
    """A run that was killed before its first checkpoint."""
    run = tmp_path / "run"
    shutil.copytree(source / "averages", run)
    shutil.rmtree(run / "checkpoints")
    info = json.loads((run / "info.json").read_text())
    info["init_from"] = {"folder": "a", "step": 3, "weights": "ema"}
    (run / "info.json").write_text(json.dumps(info))
    words = ("no checkpoint yet", "--init_from=a@3")
    runs.fails(capfd, [*runs.TINY, f"--workdir={run}"], *words)


@pytest.mark.parametrize(
    ("fields", "origin", "words"),
    [
        (["gen.width=24"], "run", r"differ: gen/.*; gen/.* there, \(.*24.*\) here"),
        (["gen.blocks=2"], "run", r"\d+ arrays differ: gen/.* none there"),
        (["disc.width=24", "gen.width=24"], "run", r"differ: disc/.*; gen/"),
        ([], "run@3", r"no checkpoint of step 3 .*\[4, 8\]"),
        ([], "run@best", "no best checkpoint"),
        ([], "none", "does not exist"),
    ],
)
def test_what_cannot_be_begun_from(source, fields, origin, words):
    with pytest.raises(UserError, match=rf"init_from={source / origin}: .*{words}") as error:
        Trainer(config_of(*fields), init_from=str(source / origin))
    if "width" in str(fields):  # all of them
        assert str(error.value).count(" there, ") == int(str(error.value).split(": ")[1].split()[0])


def test_other_methods_and_wrong_flags(source, tmp_path, capfd):
    gan = runs.config_of(f"--config={runs.ROOT}/configs/gan_digits.py", *runs.NETWORKS[:3])
    with pytest.raises(UserError, match=r"method 'ddgan'; one of 'gan' is needed"):
        Trainer(gan, init_from=str(source / "run"))
    at = [*runs.TINY, f"--workdir={tmp_path / 'run'}"]
    from_averages = f"--init_from={source / 'averages'}"
    runs.fails(capfd, [*at, from_averages, "--init_weights=raw"], "averaged weights only")
    runs.fails(capfd, [*at, from_averages, "--init_weights=best"], "--init_weights", "ema, raw")
    runs.fails(capfd, [*at, "--init_weights=raw"], "needs --init_from")
    assert not (tmp_path / "run").exists()
    texts = {"a@3": ("a", 3), "a@best": ("a", "best"), "a@b": ("a@b", None), "a@b@7": ("a@b", 7)}
    for text, expected in texts.items():
        assert (str(parse(text).folder), parse(text).step) == expected


@pytest.mark.slow
def test_differences_of_the_model_are_said(source, tmp_path, capfd):
    capfd.readouterr()
    changed = ["--config.gen.tanh=false", "--config.train.duration=1 steps", "--config.seed=7"]
    runs.ok(*runs.TINY, *changed, f"--init_from={source / 'run'}", f"--workdir={tmp_path / 'run'}")
    said = [line for line in capfd.readouterr().out.splitlines() if "other than in" in line]
    assert said == [f"other than in {source / 'run'}: gen.tanh: True -> False"]
