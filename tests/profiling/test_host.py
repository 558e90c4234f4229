"""What the host does between two steps, `benchmark --step_ms`."""

import json
import time
from pathlib import Path

import pytest

from ddgan_jax.cli import main
from ddgan_jax.cli.exit_status import Status
from ddgan_jax.config.overrides import load_config_file
from ddgan_jax.profiling import host
from ddgan_jax.training import loop

CONFIG = Path(__file__).parents[2] / "configs" / "gan_digits.py"
STEPS = host.SKIPPED + 12


def small():
    config = load_config_file(str(CONFIG))
    for role in ("gen", "disc"):
        config[role].width, config[role].blocks = 8, 1
    config.train.batch_size = 8
    return config


@pytest.mark.slow
def test_every_step_waits_and_a_slow_input_is_seen(monkeypatch):
    row = host.host(small(), 0.02, STEPS, say=lambda line: None)
    assert row["steps"] == STEPS - host.SKIPPED
    feed = loop.feed_batches

    def slow(run, start):
        for batch in feed(run, start):
            time.sleep(0.1)
            yield batch

    monkeypatch.setattr(loop, "feed_batches", slow)
    starved = host.host(small(), 0.02, STEPS, say=lambda line: None)
    assert starved["host_seconds"] >= 0.1 > row["host_seconds"]
    assert starved["late"] == 1.0


@pytest.mark.slow
def test_the_command_prints_one_line_of_json(capsys):
    arguments = ["--step_ms=1", f"--steps={STEPS}", "--config.train.batch_size=8"]
    assert main(["benchmark", f"--config={CONFIG}", *arguments]) == 0
    row = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert row["step_seconds"] == 0.001 and row["longest_seconds"] >= row["host_seconds"] > 0


@pytest.mark.parametrize(
    "arguments", [["--steps=30", f"--config={CONFIG}"], ["--step_ms=3", str(CONFIG)]]
)
def test_flags_that_do_not_fit_are_one_line(arguments, capsys):
    assert main(["benchmark", *arguments]) == Status.MISTAKE
    assert "--step_ms" in capsys.readouterr().err
