"""Learning rates and the config in TensorBoard, and Weights & Biases with a stand-in module."""

import json
import struct
import sys
import types

import numpy as np
import pytest
import tiny_runs as runs
from tensorboardX.proto.event_pb2 import Event

from ddgan_jax.config.base import BASE_FIELDS
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.optimizers import learning_rates
from ddgan_jax.training.metrics_log import MetricsLog
from ddgan_jax.training.sinks import SINKS


def values_of(workdir):
    """(step, tag) -> value, of all TensorBoard events."""
    found = {}
    for path in sorted((workdir / "tensorboard").iterdir()):
        data = path.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + size])
            found |= {(event.step, value.tag): value for value in event.summary.value}
            data = data[16 + size :]
    return found


def test_tensorboard_has_learning_rates_and_the_config(tmp_path):
    run = runs.trained(tmp_path / "run")
    found = values_of(run)
    tags = {tag for _, tag in found}
    assert {"gen/learning_rate", "disc/learning_rate", "gen/loss", "samples"} <= tags
    np.testing.assert_allclose(found[3, "gen/learning_rate"].simple_value, 5e-4, rtol=1e-6)
    [text] = [v.tensor.string_val[0].decode() for (_, tag), v in found.items() if "config" in tag]
    assert "    latent_size: 4\n" in text and "    optim.gen.learning_rate: 0.0005\n" in text
    assert not any("learning_rate" in line for line in map(str, runs.metrics(run)))


def test_rates_are_those_of_the_optimizer():
    """Constant in an epoch, from the first to the last, and k / (k + 1) of it with `lazy`."""
    rate = {"learning_rate": 2e-3, "final_learning_rate": 1e-3, "lazy_interval": 0}
    optim = {"gen": rate, "disc": {**rate, "lazy_interval": 3}}
    steps = (1, 10, 11, 20)
    found = [learning_rates(optim, ("gen", "disc"), step, 20, 10) for step in steps]
    expected = [2e-3, 2e-3, 1.5e-3, 1.5e-3]
    np.testing.assert_allclose([f["gen/learning_rate"] for f in found], expected, rtol=1e-6)
    disc = [f["disc/learning_rate"] for f in found]
    np.testing.assert_allclose(disc, np.multiply(0.75, expected), rtol=1e-6)


class StandIn(types.ModuleType):
    """The parts of wandb and trackio that are used; remembers what it is given."""

    def __init__(self, name="wandb"):
        super().__init__(name)
        self.name = "my_run-2"  # trackio makes names unique
        self.begun, self.logged, self.finished, self.id = [], [], 0, "a1b2c3"

    def init(self, **settings):
        self.begun.append(settings)
        return self

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self):
        self.finished += 1

    def Image(self, picture):
        return ("image", picture.shape)


@pytest.fixture
def wandb(monkeypatch):
    module = StandIn()
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def test_wandb_gets_everything_and_a_resumed_run_goes_on_there(tmp_path, wandb):
    for start in (0, 4):
        log = MetricsLog(tmp_path, start, ("wandb",), "my_run", {"seed": 3})
        log.write(start + 2, {"gen/loss": 1.5}, {"gen/learning_rate": 0.25})
        log.image("samples", start + 2, np.zeros((8, 9, 3), np.uint8))
        log.evaluation(start + 2, {"fid": 7.0})
        log.close()
    shared = {"name": "my_run", "resume": "allow", "dir": str(tmp_path), "config": {"seed": 3}}
    assert wandb.begun == [{**shared, "id": None}, {**shared, "id": "a1b2c3"}]
    assert wandb.logged[:3] == [
        (2, {"gen/loss": 1.5, "gen/learning_rate": 0.25}),
        (2, {"samples": ("image", (8, 9, 3))}),
        (2, {"eval/fid": 7.0}),
    ]
    assert [step for step, _ in wandb.logged] == [2, 2, 2, 6, 6, 6] and wandb.finished == 2
    assert not (tmp_path / "tensorboard").exists()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 6]


def test_trackio_gets_everything_and_a_resumed_run_goes_on_there(tmp_path, monkeypatch):
    trackio = StandIn("trackio")
    monkeypatch.setitem(sys.modules, "trackio", trackio)
    monkeypatch.setenv("TRACKIO_PROJECT", "digits")
    for start in (0, 4):
        log = MetricsLog(tmp_path, start, ("trackio",), "my_run", {"seed": 3})
        log.write(start + 2, {"gen/loss": 1.5})
        log.image("samples", start + 2, np.zeros((8, 9, 3), np.uint8))
        log.close()
    shared = {"project": "digits", "config": {"seed": 3}}
    first = {**shared, "name": "my_run", "resume": "never"}
    assert trackio.begun == [first, {**shared, "name": "my_run-2", "resume": "allow"}]
    assert [step for step, _ in trackio.logged] == [2, 2, 6, 6] and trackio.finished == 2
    assert trackio.logged[1] == (2, {"samples": ("image", (8, 9, 3))})


@pytest.mark.slow
def test_a_run_with_two_sinks(tmp_path, wandb):
    more = ["--config.train.sinks=tensorboard,wandb", "--config.train.duration=1 steps"]
    runs.ok(*runs.TINY, *more, f"--workdir={tmp_path / 'run'}")
    [begun], [values, image] = wandb.begun, [values for _, values in wandb.logged]
    assert begun["name"] == "run" and begun["config"]["latent_size"] == 4
    assert values["gen/learning_rate"] == pytest.approx(5e-4) and "samples" in image
    assert (1, "gen/loss") in values_of(tmp_path / "run")


def test_sinks_that_are_not_there(tmp_path, capfd, monkeypatch, wandb):
    at = [*runs.TINY, f"--workdir={tmp_path / 'run'}"]
    assert set(SINKS) == {name for name in SINKS if BASE_FIELDS["train.sinks"].accepts((name,))}
    words = ("config.train.sinks", "'comet'", "tensorboard, wandb, trackio")
    runs.fails(capfd, [*at, "--config.train.sinks=comet"], *words)
    monkeypatch.setattr(wandb, "init", lambda **settings: 1 / 0)
    with pytest.raises(UserError, match="wandb cannot begin a run: ZeroDivisionError"):
        MetricsLog(tmp_path, 0, ("wandb",))
    monkeypatch.setitem(sys.modules, "wandb", None)  # importing it fails
    runs.fails(capfd, [*at, "--config.train.sinks=wandb"], "sinks has 'wandb'", "pip install wandb")
    assert not (tmp_path / "run").exists()
