"""A run folder of version 0.1.0 can be read, sampled from and resumed.

tests/data/run_of_0_1_0.zip is TINY_DDDG of tests/tiny_runs.py after 6 steps on one CPU device, with
--config.train.log_every="1 steps", without its pictures and TensorBoard files. It is a run of DDDG,
whose checkpoints have all parts: carried samples, shared values, learned values.
"""

import hashlib
import json
import zipfile

import jax
import numpy as np
import pytest
import tiny_runs as runs

import ddgan_jax
from ddgan_jax.config.stored import read_config
from ddgan_jax.training.loop import train

HASH = "0ceb1210a668a8660cd81b14a95af0ffb1e6ac3fb962a9fac4d25bb1a425bbec"
# Metrics of the next steps, computed by version 0.1.0.
NEXT = [
    {"step": 7, "disc/loss": 2.52813, "disc/encoder": 1.15058, "gen/loss": 1.83813},
    {"step": 8, "disc/loss": 2.22577, "disc/encoder": 0.832664, "gen/loss": 1.51993},
]


@pytest.fixture
def run(tmp_path):
    with zipfile.ZipFile(runs.ROOT / "tests" / "data" / "run_of_0_1_0.zip") as file:
        file.extractall(tmp_path / "run")
    return tmp_path / "run"


def test_every_value_is_what_it_was(run):
    saved, digest = runs.saved(run, 6), hashlib.sha256()
    for name, value in sorted(saved.items()):
        digest.update(f"{name} {value.dtype} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    assert digest.hexdigest() == HASH and len(saved) == 100


def test_it_can_be_sampled_from_and_inverted(run):
    model = ddgan_jax.load(run, devices=jax.devices()[:1])
    assert model.step == 6
    images = model.sample(jax.random.key(0), 4)
    assert images.shape == (4, 8, 8, 1) and np.isfinite(images).all()
    assert model.encode(images, np.arange(4)).shape == (4, 3, 3)


def test_its_averages_have_no_warmup(run):
    assert not read_config(run).ema_warmup


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 8])
def test_it_goes_on_as_it_did(run, devices):
    settings = json.loads((run / "config.json").read_text())
    settings["train"]["duration"] = "8 steps"
    (run / "config.json").write_text(json.dumps(settings))
    train(read_config(run), run, lambda text: None, jax.devices()[:devices])
    lines = runs.metrics(run)
    assert [line["step"] for line in lines] == list(range(1, 9))
    for line, wanted in zip(lines[-2:], NEXT, strict=True):
        for name, value in wanted.items():
            assert line[name] == pytest.approx(value, rel=1e-4), name
