"""The result does not depend on how many devices or processes share the work."""

import json
import signal
import time

import jax
import numpy as np
import pytest
import tiny_runs as runs

import ddgan_jax
from ddgan_jax.main import parse
from ddgan_jax.train import train


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """{number of devices: folder of the same run on so many}."""
    root = tmp_path_factory.mktemp("devices")
    config = parse([*runs.TINY, "--config.train.log_every=1 steps", "--workdir=unused"])[1]
    for count in (1, 2, 8):
        workdir = root / str(count)
        assert train(config, workdir, lambda text: None, jax.devices()[:count]) == 0
        assert len(json.loads((workdir / "info.json").read_text())["devices"]) == count
    return {count: root / str(count) for count in (1, 2, 8)}


def assert_same_metrics(one, other, rtol=1e-5):
    a, b = runs.metrics(one), runs.metrics(other)
    assert len(a) == len(b) == 8
    for line, other_line in zip(a, b, strict=True):
        assert line.keys() == other_line.keys()
        for name in line:
            np.testing.assert_allclose(line[name], other_line[name], rtol, 1e-6, err_msg=name)


@pytest.mark.parametrize("count", [2, 8])
def test_losses_are_those_of_one_device(folders, count):
    assert_same_metrics(folders[1], folders[count])
    one, many = runs.saved(folders[1], 8), runs.saved(folders[count], 8)
    for name in one:
        np.testing.assert_allclose(one[name], many[name], 1e-3, 1e-5, err_msg=name)


@pytest.mark.slow
def test_accumulated_losses_are_those_of_one_device(tmp_path):
    flags = ["--config.train.accumulate=2", "--config.train.log_every=1 steps"]
    config = parse([*runs.TINY, *flags, "--workdir=unused"])[1]
    for count in (1, 8):
        train(config, tmp_path / str(count), lambda text: None, jax.devices()[:count])
    assert_same_metrics(tmp_path / "1", tmp_path / "8")


def test_samples_depend_on_key_and_index_alone(folders):
    key = jax.random.key(3)
    models = {count: ddgan_jax.load(folders[1], devices=jax.devices()[:count]) for count in folders}
    images = models[1].sample(key, 21)
    assert images.shape == (21, 8, 8, 1) and images.dtype == np.float32
    assert np.isfinite(images).all() and np.unique(images, axis=0).shape[0] == 21

    def same(other):
        np.testing.assert_allclose(other, images[: len(other)], 1e-5, 1e-5)

    for model in models.values():
        assert len({len(leaf.sharding.device_set) for leaf in jax.tree.leaves(model.params)}) == 1
        for batch_size in (None, 1, 5, 16, 100):
            same(model.sample(key, 21, batch_size))
    same(models[8].sample(key, 3))
    assert np.abs(models[1].sample(jax.random.key(4), 21) - images).max() > 0.1


@pytest.mark.slow
def test_two_processes_are_one_run(tmp_path, folders):
    args = [*runs.TINY, "--config.train.log_every=1 steps", f"--workdir={tmp_path / 'run'}"]
    ends = [runs.finish(process) for process in runs.start_many(2, *args)]
    assert [code for code, _, _ in ends] == [0, 0], ends
    assert "done: 8 steps" in ends[0][1] and "step" not in ends[1][1]  # one of them speaks
    assert json.loads((tmp_path / "run" / "info.json").read_text())["processes"] == 2
    assert_same_metrics(tmp_path / "run", folders[1])
    images = ddgan_jax.load(tmp_path / "run").sample(jax.random.key(0), 5)
    wanted = ddgan_jax.load(folders[1]).sample(jax.random.key(0), 5)
    np.testing.assert_allclose(images, wanted, 1e-3, 1e-3)

    sampled = [f"--workdir={tmp_path / 'run'}", "--mode=sample", "--num_images=5"]
    ends = [runs.finish(process) for process in runs.start_many(2, *sampled)]
    assert [code for code, _, _ in ends] == [0, 0], ends
    with np.load(tmp_path / "run" / "samples" / "samples.npz") as file:
        stored = np.clip(np.round((images + 1) * 127.5), 0, 255)
        np.testing.assert_allclose(file["images"].astype(float), stored, atol=1)


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both(tmp_path):
    """Both save the same step, and both go on from it."""
    workdir = tmp_path / "run"
    args = [*runs.TINY, f"--workdir={workdir}", "--config.train.duration=3000 steps"]
    args += ["--config.train.log_every=100 steps", "--config.train.checkpoint_every=100 steps"]
    processes = runs.start_many(2, *args)
    deadline = time.monotonic() + 120
    while not runs.steps_saved(workdir) and time.monotonic() < deadline:
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGTERM)
    ends = [runs.finish(process) for process in processes]
    assert [code for code, _, _ in ends] == [143, 143], ends
    step = max(runs.steps_saved(workdir))
    assert f"stopped at step {step} and saved" in ends[0][1]
    last = f"--config.train.duration={step + 2} steps"
    ends = [runs.finish(process) for process in runs.start_many(2, *args, last)]
    assert [code for code, _, _ in ends] == [0, 0], ends
    assert f"resumed at step {step}" in ends[0][1] and max(runs.steps_saved(workdir)) == step + 2
