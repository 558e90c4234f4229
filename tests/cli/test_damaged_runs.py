"""Run folders that are damaged, or are of another run, are refused and stay as they are."""

import json
import os
import shutil

import pytest
import tiny_runs as runs


# Damage to a finished run -> words of the answer of sampling and of training on.
def _no_checkpoints(run):
    shutil.rmtree(run / "checkpoints")


def _truncated(run):
    for file in (run / "checkpoints" / "8").rglob("d/*"):
        os.truncate(file, file.stat().st_size // 2)


def _no_ema(run):
    shutil.rmtree(run / "checkpoints" / "8" / "ema")


def _no_config(run):
    (run / "config.json").unlink()


def _half_config(run):
    os.truncate(run / "config.json", 40)


def _list_config(run):
    (run / "config.json").write_text("[]")


def _other_types(run):
    config = json.loads((run / "config.json").read_text())
    config["train"]["batch_size"] = "16"
    (run / "config.json").write_text(json.dumps(config))


def _no_info(run):
    (run / "info.json").unlink()


DAMAGE = {
    "no checkpoints": (_no_checkpoints, ["no checkpoint", "train first"], None),
    "truncated": (_truncated, ["cannot sample from", "8", "[4] remain"], None),
    "no ema": (_no_ema, ["cannot sample from", "ema", "[4] remain"], None),
    "no config": (_no_config, ["has no config.json"], ["has no config.json"]),
    "half a config": (_half_config, ["config.json", "damaged"], ["config.json", "damaged"]),
    "another json": (_list_config, ["config.json", "holds []"], ["a table is needed"]),
    "another type": (_other_types, ["train.batch_size", "'16'"], ["train.batch_size", "'16'"]),
    "no info": (_no_info, ["info.json"], None),
}


# Orbax leaves coroutines behind when a restore fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("damage", "sampling", "training"), DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_run_folders(tmp_path, capfd, damage, sampling, training):
    run = runs.trained(tmp_path / "run")
    damage(run)
    before = runs.listing(run)
    workdir = f"--workdir={run}"
    runs.fails(capfd, ["--mode=sample", workdir, f"--out={tmp_path / 'out'}"], *sampling)
    if training:
        runs.fails(capfd, [workdir, "--config.train.duration=9 steps"], *training)
    assert runs.listing(run) == before


def test_checkpoints_without_a_config_are_not_taken_over(tmp_path, capfd):
    run = runs.trained(tmp_path / "run")
    (run / "config.json").unlink()
    before = runs.listing(run)
    runs.fails(capfd, [*runs.TINY, f"--workdir={run}"], "no config.json", "another --workdir")
    assert runs.listing(run) == before


@pytest.mark.parametrize(
    "change", ["gen.width=32", "seed=1", "data.split=train[:50%]", "train.batch_size=32"]
)
def test_folder_of_another_run(tmp_path, capfd, change):
    run = runs.trained(tmp_path / "run")
    before = runs.listing(run)
    field, _, value = change.partition("=")
    words = [f"config.{field} = ", value, "another --workdir"]
    other = [*runs.TINY, f"--config.{change}", f"--workdir={run}"]
    runs.fails(capfd, other, *words)
    runs.fails(capfd, [*other, "--mode=sample"], *words)
    assert runs.listing(run) == before


def test_step_that_was_not_saved(tmp_path, capfd):
    run = runs.trained(tmp_path / "run")
    args = ["--mode=sample", f"--workdir={run}", "--step=5"]
    runs.fails(capfd, args, "no checkpoint of step 5", "[4, 8]")
