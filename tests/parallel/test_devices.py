"""Runs and samples do not depend on the number of devices (processes: test_pods.py)."""

import json

import jax
import numpy as np
import pytest
import tiny_runs as runs

import ddgan_jax
from ddgan_jax.training.loop import train

# The first test compiles the runs.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """{number of devices: folder of the same run on that many}."""
    root = tmp_path_factory.mktemp("devices")
    config = runs.config_of(*runs.TINY, "--config.train.log_every=1 steps")
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
def test_losses_equal_those_of_one_device(folders, count):
    assert_same_metrics(folders[1], folders[count])
    one, many = runs.saved(folders[1], 8), runs.saved(folders[count], 8)
    for name in one:
        np.testing.assert_allclose(one[name], many[name], 1e-3, 1e-5, err_msg=name)


def test_accumulated_losses_equal_those_of_one_device(tmp_path):
    flags = ["--config.train.accumulate=2", "--config.train.log_every=1 steps"]
    config = runs.config_of(*runs.TINY, *flags)
    for count in (1, 8):
        train(config, tmp_path / str(count), lambda text: None, jax.devices()[:count])
    assert_same_metrics(tmp_path / "1", tmp_path / "8")


def test_samples_depend_on_key_and_index_only(folders):
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
