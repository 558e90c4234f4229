"""Compile for accelerators that are not there, where their compilers are installed."""

import importlib.util
import json
import os
import subprocess
import sys

import jax
import pytest
import tiny_runs as runs

from ddgan_jax.cli import main
from ddgan_jax.core.errors import UserError
from ddgan_jax.profiling import compilation, hlo, targets
from ddgan_jax.profiling.hardware import CHIPS

needs_tpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="needs the extra tpu-compile"
)
needs_gpu = pytest.mark.skipif(
    importlib.util.find_spec("jax_cuda13_plugin") is None, reason="needs the extra gpu-compile"
)
CONFIG = f"{runs.ROOT}/configs/ddgan_digits.py"
TINY = [
    *("--config.gen.width=16", "--config.gen.blocks=1", "--config.disc.width=16"),
    *("--config.disc.blocks=1", "--config.train.batch_size=32", "--config.latent_size=8"),
]


def compiled(tmp_path, target, *args):
    """The rows of compile.json and the lines printed by the command, in a process of its own."""
    command = [sys.executable, "-m", "ddgan_jax", "compile", CONFIG, f"--target={target}", *TINY]
    done = subprocess.run(
        [*command, f"--out={tmp_path}", *args],
        cwd=runs.ROOT,
        env={**os.environ, "PYTHONPATH": str(runs.ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "compile.json").read_text())
    return {row["program"]: row for row in rows}, done.stdout


def check_state_is_donated(memory):
    """All that the step takes, but for the batch, is given back in place."""
    assert memory["donated"] > 0.8 * memory["arguments"]
    assert memory["outputs"] - memory["donated"] < 10_000  # the metrics


@needs_tpu
@pytest.mark.slow
def test_a_step_for_a_tpu(tmp_path):
    rows, text = compiled(tmp_path, "v5e:2x4", "--programs=train")
    step = rows["train"]
    assert step["devices"] == 8 and step["fits"]
    check_state_is_donated(step["memory"])
    # Gradients and losses are summed over the devices, and nothing else is exchanged.
    assert set(step["collectives"]) == {"all-reduce"}
    assert step["cycles"] > 0 and 0 < step["mfu"] < 1
    assert "8 x TPU v5 lite" in text and "fits" in text


@needs_gpu
@pytest.mark.slow
def test_a_step_for_a_gpu(tmp_path):
    rows, text = compiled(tmp_path, "h100", "--programs=train")
    step = rows["train"]
    assert step["devices"] == 1 and step["fits"]
    check_state_is_donated(step["memory"])
    assert step["collectives"] == {}
    assert step["bytes"] > 0 and 0 < step["mfu"] < 1
    assert "NVIDIA H100" in text
    program = (tmp_path / "ddgan_digits-h100-train.hlo").read_text()
    assert compilation.analyze(program, CHIPS["H100"])["kernels"] == step["kernels"]


@needs_gpu
@pytest.mark.slow
def test_several_gpus_share_the_gradients(tmp_path):
    rows, _ = compiled(tmp_path, "h100:8", "--programs=train")
    assert rows["train"]["devices"] == 8
    assert set(rows["train"]["collectives"]) == {"all-reduce"}
    check_state_is_donated(rows["train"]["memory"])


def error_of(capsys, *args):
    assert main(["compile", *args]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("h1000", ["--target is 'h1000'", "v5e:2x4", "'h100'?"]),
        ("v5e", ["--target is 'v5e'", "topology", "v5e:2x4"]),
        ("v5p:2x2", ["--target is 'v5p:2x2'", "v5p:2x2x1"]),
        ("h100:x", ["--target is 'h100:x'", "h100:NUMBER"]),
    ],
)
def test_targets_that_do_not_exist(capsys, target, words):
    message = error_of(capsys, CONFIG, f"--target={target}")
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("target", "module", "extra"),
    [
        ("v5e:2x4", "libtpu", "tpu-compile"),
        ("h100", "jax_cuda13_plugin", "gpu-compile"),
    ],
)
def test_a_missing_compiler_is_named(capsys, monkeypatch, target, module, extra):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        targets.importlib.util, "find_spec", lambda name: None if name == module else found(name)
    )
    message = error_of(capsys, CONFIG, f"--target={target}")
    assert f"--target={target}" in message and f"ddgan_jax[{extra}]" in message


def test_flags_that_are_missing(capsys):
    assert "config files are needed" in error_of(capsys, "--target=h100")
    assert "--target" in error_of(capsys, CONFIG)


def test_seconds_are_the_larger_of_memory_and_arithmetic():
    chip = CHIPS["H100"]._replace(memory_bandwidth=1e9, flops=1e12)
    kernel = hlo.Kernel("fusion", "m", 1, 2_000_000, 1e9, False, 0, False)
    assert compilation.seconds_of(kernel, chip) == pytest.approx(2e-3)
    kernel = kernel._replace(flops=4e9)
    assert compilation.seconds_of(kernel, chip) == pytest.approx(4e-3)
    assert compilation.seconds_of(kernel._replace(wide=True), chip) == pytest.approx(8e-3)
    tpu = CHIPS["TPU v5e"]
    assert compilation.seconds_of(kernel._replace(cycles=3000), tpu) == pytest.approx(2e-6)


def test_changes_that_save_memory_are_tried_in_order():
    """What leaves the numbers as they are comes first."""
    config = runs.config_of(f"--config={runs.ROOT}/configs/ddgan_cifar10.py")
    found = list(compilation.changes(config, 8))
    assert found[:4] == [
        {"gen.remat": "true"},
        {"gen.remat": "true", "train.fsdp": "true"},
        {"train.accumulate": "2"},
        {"gen.remat": "true", "train.fsdp": "true", "train.accumulate": "2"},
    ]
    assert found[-1]["train.accumulate"] == "32"  # one image on each device at a time


def test_the_least_change_is_the_first_that_fits(monkeypatch):
    config = runs.config_of(f"--config={runs.ROOT}/configs/ddgan_cifar10.py")
    target = targets.Target("h100", "h100", CHIPS["H100"], [object()])
    tried = []

    def programs(config, devices, names):
        tried.append((config.gen.remat, config.train.accumulate))
        return {"train": tried[-1]}

    def compile_for(lower, chip):
        return {"fits": lower == (False, 2)}, ""

    monkeypatch.setattr(compilation, "programs", programs)
    monkeypatch.setattr(compilation, "compile_for", compile_for)
    assert compilation.advice(config, target, "train") == "it fits with --config.train.accumulate=2"
    assert tried == [(True, 1), (False, 2)]
    monkeypatch.setattr(compilation, "compile_for", lambda lower, chip: ({"fits": False}, ""))
    assert "none of" in compilation.advice(config, target, "train")
    assert "config.sample.batch_size" in compilation.advice(config, target, "sample")


def test_a_compiler_that_runs_out_of_memory():
    """libtpu refuses programs that do not fit, and says what they would need."""

    def lower():
        raise jax.errors.JaxRuntimeError(
            "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory "
            "space hbm. Used 23.50G of 15.75G hbm. Exceeded hbm capacity by 7.75G."
        )

    row, text = compilation.compile_for(lower, CHIPS["TPU v5e"])
    assert not row["fits"] and not text
    assert row["memory"] == {"total": int(23.5 * 2**30)}
    row |= dict(program="train", advice="it fits with --config.train.accumulate=2")
    lines = compilation.describe(row, CHIPS["TPU v5e"])
    assert "does not fit: 25.23 GB of 16.9 GB" in lines[0] and "accumulate=2" in lines[1]


def test_a_compiler_that_fails():
    def lower():
        raise jax.errors.JaxRuntimeError("INTERNAL: Couldn't find output tile sizes\nfor a dot")

    with pytest.raises(UserError, match=r"the compiler failed, .*: INTERNAL: Couldn't find .* dot"):
        compilation.compile_for(lower, CHIPS["TPU v5e"])
