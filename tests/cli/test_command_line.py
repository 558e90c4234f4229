"""The command line from end to end: run folders and every mode."""

import json
import os
import types

import jax
import numpy as np
import pytest
import tiny_runs as runs
from PIL import Image

import ddgan_jax
from ddgan_jax.cli import main
from ddgan_jax.core.train_step import train_step
from ddgan_jax.training import loop as train_module
from ddgan_jax.training import setup as prepare_module


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.trained(tmp_path_factory.mktemp("command_line") / "run")


def test_a_run_folder_holds_everything(run):
    for name in ("config.json", "info.json", "metrics.jsonl", "samples/step_00000008.png"):
        assert (run / name).is_file(), name
    assert list((run / "tensorboard").glob("events.out.tfevents.*"))
    assert runs.steps_saved(run) == [4, 8]
    assert not list(run.rglob("*tmp*")) and not (run / ".writable").exists()
    info = json.loads((run / "info.json").read_text())
    assert len(info["data"].pop("hash")) == 16
    assert info["data"] == {"name": "digits", "examples": 1500, "shape": [8, 8, 1]}
    assert info["steps"] == 8 and info["steps_per_epoch"] == 1500 // 16
    sizes = {"gen": 0, "disc": 0}
    for name, leaf in runs.saved(run, 8).items():
        for role in sizes:
            sizes[role] += leaf.size * name.startswith(f"['state']['params']['{role}']")
    assert info["parameters"] == sizes
    assert 1 <= info["cores"] <= os.cpu_count()
    with Image.open(run / "samples" / "step_00000008.png") as picture:
        assert picture.mode == "RGB" and np.asarray(picture).std() > 10


def test_overrides_are_applied_and_saved(run):
    config = json.loads((run / "config.json").read_text())
    assert config["gen"]["width"] == 16 and config["train"]["duration"] == "8 steps"
    assert ddgan_jax.load(run).config.latent_size == 4
    config = runs.config_of(*runs.TINY, "--config.data.flip", "true", "--config.seed=7")
    assert config.data.flip is True and config.seed == 7
    cifar = f"--config={runs.ROOT}/configs/ddgan_cifar10.py"
    config = runs.config_of(cifar, "--config.gen.multipliers=1,2")
    assert config.gen.multipliers == (1, 2)


def test_metrics_are_finite_and_complete(run):
    lines = runs.metrics(run, without=())
    assert [line["step"] for line in lines] == [3, 6, 8]
    for line in lines:
        names = {f"{role}/{name}" for role in ("gen", "disc") for name in ("loss", "grad_norm")}
        assert names | {"images_per_second", "images"} <= line.keys()
        assert all(np.isfinite(value) for value in line.values())
        assert line["images"] == 16 * line["step"]
    # R1 is added at steps 0 and 4 of 0..7: in the windows of lines 3 and 6.
    assert ["disc/r1" in line for line in lines] == [True, True, False]


def test_tensorboard_holds_the_same_numbers(run):
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    points, images = {}, 0
    for file in (run / "tensorboard").iterdir():
        data = file.read_bytes()
        while data:  # length, its checksum, record, its checksum
            size = int.from_bytes(data[:8], "little")
            event = event_pb2.Event.FromString(data[12 : 12 + size])
            data = data[16 + size :]
            for value in event.summary.value:
                images += value.HasField("image")
                if value.HasField("simple_value"):
                    points[event.step, value.tag] = value.simple_value
    assert images == 1
    for line in runs.metrics(run, without=()):
        for name in line.keys() - {"step"}:
            np.testing.assert_allclose(points[line["step"], name], line[name], 1e-5)


@pytest.mark.parametrize("count", [1, 5, 70])
def test_sampling_needs_the_folder_alone(run, tmp_path, capfd, count):
    """70 images are more than one batch of 64."""
    out = tmp_path / "out"
    runs.ok(
        "--mode=sample", f"--workdir={run}", f"--num_images={count}", f"--out={out}", "--seed=3"
    )
    assert sorted(path.name for path in out.iterdir()) == ["samples.npz", "samples.png"]
    assert f"{count} samples of step 8, 2 network evaluations each" in capfd.readouterr().out
    with np.load(out / "samples.npz") as file:
        assert int(file["step"]) == 8 and int(file["seed"]) == 3
        images = file["images"]
    assert images.shape == (count, 8, 8, 1) and images.dtype == np.uint8
    loaded = ddgan_jax.load(run).sample(jax.random.key(3), 5)
    shown = np.clip(np.round((loaded + 1) * 127.5), 0, 255)
    np.testing.assert_allclose(images[:5].astype(float), shown[:count], atol=1)
    with Image.open(out / "samples.png") as picture:
        rows = -(-count // int(np.ceil(np.sqrt(count))))
        assert picture.height >= 64 * rows


def test_sampling_an_earlier_checkpoint(run, tmp_path):
    images = {}
    for step in (4, 8):
        out = tmp_path / str(step)
        args = ["--mode=sample", f"--workdir={run}", f"--step={step}", f"--out={out}"]
        runs.ok(*args, "--config.sample.batch_size=8", "--num_images=4")
        with np.load(out / "samples.npz") as file:
            images[step] = file["images"]
            assert int(file["step"]) == step
    assert not np.array_equal(images[4], images[8])


def test_samples_come_from_the_moving_average(run):
    saved, model = runs.saved(run, 8), ddgan_jax.load(run)
    assert set(model.params) == {"gen"} and model.step == 8
    for path, leaf in jax.tree_util.tree_leaves_with_path(model.params):
        name = jax.tree_util.keystr(path)
        np.testing.assert_array_equal(leaf, saved[f"['ema']{name}"])
        assert leaf.size < 2 or not np.array_equal(leaf, saved[f"['state']['params']{name}"])


@pytest.mark.slow
def test_running_again_and_going_on_with_the_folder_alone(tmp_path, capfd):
    workdir = runs.trained(tmp_path / "run")
    before, config = runs.saved(workdir, 8), (workdir / "config.json").read_text()
    runs.ok(f"--workdir={workdir}", "--config.optim.gen.learning_rate=1")
    assert "nothing to do: 8 of 8 steps are done" in capfd.readouterr().out
    assert (workdir / "config.json").read_text() == config  # no step was taken with that rate
    runs.fails(
        capfd, ["--config=gan_digits", f"--workdir={workdir}"], "config.method = 'ddgan'", "'gan'"
    )
    runs.ok(f"--workdir={workdir}", "--config.train.duration=10 steps")
    out = capfd.readouterr().out
    assert "resumed at step 8" in out and "done: 10 steps" in out
    assert "changed since the run began: train.duration: '8 steps' -> '10 steps'" in out
    assert runs.steps_saved(workdir) == [8, 10]
    assert [line["step"] for line in runs.metrics(workdir)] == [3, 6, 8, 9, 10]
    config = json.loads((workdir / "config.json").read_text())
    assert config["train"]["duration"] == "10 steps" and config["gen"]["width"] == 16
    after = runs.saved(workdir, 8)
    assert all(np.array_equal(before[name], after[name]) for name in before)


class Watched:
    """A metric that records when the host reads it."""

    def __init__(self, step, value, looks):
        self.step, self.value, self.looks = step, value, looks

    def __array__(self, dtype=None, copy=None):
        self.looks.append(self.step)
        return np.asarray(self.value, dtype)


@pytest.mark.slow
def test_each_variant_is_traced_once_and_the_host_does_not_wait(tmp_path, monkeypatch):
    """The host reads the metrics of a step when it prints a line, not before."""
    traces, now = [], [0]
    original = train_module.compiled_steps

    def traced(*args, regularize, **kwargs):
        traces.append(regularize)
        return train_step(*args, regularize=regularize, **kwargs)

    def watched(*args):
        step_fn = original(*args)

        def variant(regularize):
            def compiled(*given):
                run_compiled = step_fn(regularize).lower(*given).compile()

                def run_step(*inputs):
                    now[0] += 1
                    state, metrics = run_compiled(*inputs)
                    return state, {k: Watched(now[0], v, looks) for k, v in metrics.items()}

                return run_step

            lowered = types.SimpleNamespace
            return lowered(lower=lambda *given: lowered(compile=lambda: compiled(*given)))

        return variant

    seen = []  # (last step that ran, step of the metric) when the host looks
    looks = type("Looks", (list,), {"append": lambda _, step: seen.append((now[0], step))})()
    monkeypatch.setattr(prepare_module, "train_step", traced)
    monkeypatch.setattr(train_module, "compiled_steps", watched)
    runs.ok(*runs.TINY, f"--workdir={tmp_path / 'run'}")
    assert sorted(traces) == [(False, False), (True, False)]
    log = {1: 1, 2: 3, 3: 3, 4: 6, 5: 6, 6: 6, 7: 8, 8: 8}
    assert {step for _, step in seen} == set(range(1, 9))
    assert all(ran == log[step] for ran, step in seen), seen


def test_export_is_smaller_and_samples_the_same(run, tmp_path, capsys):
    shared = tmp_path / "shared"
    runs.ok("--mode=export", f"--workdir={run}", f"--out={shared}")
    assert sorted(p.name for p in shared.iterdir() if p.is_file()) == [
        "config.json",
        "info.json",
        "metrics.jsonl",
    ]
    key = jax.random.key(0)
    np.testing.assert_array_equal(
        ddgan_jax.load(shared).sample(key, 3), ddgan_jax.load(run).sample(key, 3)
    )
    size = {
        folder: sum(f.stat().st_size for f in folder.rglob("checkpoints/8/**/*") if f.is_file())
        for folder in (run, shared)
    }
    assert size[shared] < size[run] / 2
    capsys.readouterr()
    assert main(["--mode=export", f"--workdir={run}", f"--out={shared}"]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert main([f"--workdir={shared}", "--config.train.duration=9 steps"]) == 1  # cannot train on
    assert "cannot train on" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "side"), [("ddgan_digits", 8), ("dddg_mnist28", 28)])
def test_pretrained_folder_samples(tmp_path, name, side):
    """What README promises: a picture from the folders that the package ships."""
    folder = runs.ROOT / "ddgan_jax" / "pretrained" / name
    runs.ok("sample", f"--workdir=pretrained://{name}", f"--out={tmp_path}", "--num_images=16")
    with np.load(tmp_path / "samples.npz") as file:
        images = file["images"]
    assert images.shape == (16, side, side, 1) and images.std() > 50
    assert sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) < 5 * 2**20


@pytest.mark.slow
def test_benchmark_prints_work_and_speed(capsys):
    runs.ok("--mode=benchmark", *runs.TINY)
    row = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert {"train step", "train step, regularized"} < row.keys()
    for name, values in row.items():
        assert values["flops"] > 0 and values["images_per_second"] > 0, name
    assert row["train step, regularized"]["flops"] > row["train step"]["flops"]


@pytest.mark.slow
def test_sampling_costs_side_by_side(capsys):
    names = ("ddgan", "wddgan", "lddgan", "autoencoder")
    *configs, autoencoder = (f"{runs.ROOT}/configs/{name}_digits.py" for name in names)
    configs.append(f"--autoencoder={autoencoder}")
    assert main(["benchmark", *configs, "--batch_size=6", "--trials=1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("ddgan_digits") and len(lines) == 6
    assert "4x4x4" in lines[3] and "4x4x2" in lines[4]
    for row in json.loads(lines[-1])["rows"].values():
        assert row["batch_size"] == 8  # devices
        # An MLP multiplies and adds once for every weight and sample, biases excepted.
        assert 0.95 < row["evaluation_flops"] / (2 * row["parameters"] * 8) < 1.05
        assert row["nfe"] == 2 and row["batch_flops"] >= 2 * row["evaluation_flops"]
        assert row["evaluation_seconds"] > 0 and row["batch_seconds"] > 0
        assert row["bytes"] >= 4 * row["parameters"]
    measured = json.loads(lines[-1])["rows"]
    assert main(["benchmark", *configs, "--batch_size=6", "--trials=0"]) == 0
    counted = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    for name, row in counted.items():
        assert row == {k: v for k, v in measured[name].items() if k in row} and len(row) == 6


def test_mistakes_of_the_side_by_side_are_one_line(capsys):
    gan = f"{runs.ROOT}/configs/autoencoder_digits.py"
    for args, words in (
        (["--trials=-1", gan], "--trials is -1"),
        (["none.py"], "no file 'none.py'"),
        ([gan], "config.method is 'autoencoder'; a method that draws samples"),
    ):
        assert main(["benchmark", *args]) == 1
        runs.one_line(capsys.readouterr().err, [words])
