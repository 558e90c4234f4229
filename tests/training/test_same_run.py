"""A run is known by content: data that moved or changed, folders without a checkpoint."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny_runs as runs

from ddgan_jax.data import load_source
from ddgan_jax.inference.model import load
from ddgan_jax.inference.same_run import fingerprint


def write(path, count=100, seed=0):
    draws = np.random.default_rng(seed)
    images = draws.integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    np.savez(path, images=images, labels=np.zeros(count, np.int32))
    return path


def args_of(path, run, steps):
    more = [f"--config.data.name=npz:{path}", "--config.data.flip=false", f"--workdir={run}"]
    return [*runs.TINY, *more, f"--config.train.duration={steps} steps"]


@pytest.fixture(scope="module")
def on_a_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("moved")
    runs.ok(*args_of(write(folder / "old.npz"), folder / "run", 2))
    return folder


@pytest.fixture
def folder(on_a_file, tmp_path):
    shutil.copytree(on_a_file, tmp_path / "all")
    return tmp_path / "all"


@pytest.mark.slow
def test_a_data_file_that_moved(folder, capfd):
    (folder / "old.npz").rename(folder / "new.npz")
    model = load(folder / "run")
    config = model.config.copy_and_resolve_references()
    config.data.name = f"npz:{folder / 'new.npz'}"
    assert load(folder / "run", config=config).step == 2
    runs.ok(*args_of(folder / "new.npz", folder / "run", 3))
    assert "data.name" in capfd.readouterr().out
    assert "new.npz" in json.loads((folder / "run" / "config.json").read_text())["data"]["name"]


def test_other_data_under_another_path(folder, capfd):
    write(folder / "new.npz", seed=1)
    runs.fails(capfd, args_of(folder / "new.npz", folder / "run", 3), "config.data.name")


@pytest.mark.parametrize("change", [{"seed": 1}, {"count": 99}])
def test_data_that_changed_under_the_same_path(folder, change, capfd):
    before = json.loads((folder / "run" / "config.json").read_text())["data"]["name"]
    path = Path(before.removeprefix("npz:"))
    original = path.read_bytes()
    try:
        write(path, **change)
        runs.fails(capfd, args_of(path, folder / "run", 3), "holds a run on 100 examples", "hash")
        few = ["--config.eval.num_samples=16", "--config.eval.extractors=digits"]
        measured = ["--mode=evaluate", f"--workdir={folder / 'run'}", *few]
        runs.fails(capfd, measured, "holds a run on 100 examples", "hash")
    finally:
        path.write_bytes(original)


@pytest.mark.slow
def test_a_folder_without_a_checkpoint_starts_afresh(tmp_path):
    run = runs.trained(tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    changed = "--config.latent_size=5"
    runs.ok(*runs.TINY, changed, f"--workdir={run}", "--config.train.duration=2 steps")
    assert json.loads((run / "config.json").read_text())["latent_size"] == 5
    assert runs.steps_saved(run) == [2]


def test_fingerprints_see_pixels_labels_and_count():
    source = load_source(runs.config_of(*runs.TINY).data)
    same = fingerprint(source)
    assert len(same) == 16 and fingerprint(source) == same

    def changed(indices):
        batch = source.take(indices)
        return {**batch, "label": batch["label"] + 1}

    assert fingerprint(source._replace(take=changed)) != same
    assert fingerprint(source._replace(size=source.size - 1)) != same
    assert fingerprint(source._replace(in_memory=False)) != same  # evenly spaced examples
