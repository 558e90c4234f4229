"""User errors end in one line and status 1, and change no file."""

import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny_runs as runs

from ddgan_jax.cli import main
from ddgan_jax.config.overrides import load_config_file, override
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.optimizers import cosine_per_epoch
from ddgan_jax.training import loop as train
from ddgan_jax.training import metrics_log

CIFAR = f"--config={runs.ROOT}/configs/ddgan_cifar10.py"
SMALL_CIFAR = (CIFAR, "--config.data.name=digits", "--config.data.channels=3")
WAVELET = [f"--config={runs.ROOT}/configs/wddgan_digits.py"]
TYPO = "from ddgan_jax.config import base\ndef get_config():\n  c = base()\n  {}\n  return c\n"

FILES = {
    "raises.py": "def get_config():\n  raise RuntimeError('no luck\\ntoday')\n",
    "syntax.py": "def get_config(:\n",
    "empty.py": "",
    "returns_int.py": "def get_config():\n  return 3\n",
    "exits.py": "raise SystemExit(0)\n",
    "unprintable.py": "class E(Exception):\n  def __str__(self): 1 / 0\nraise E()\n",
    "deep.py": TYPO.format("for _ in range(500): c = c.__class__(dict(a=c))"),
    "keys.py": TYPO.format("c.eval.extra = {1: 2}"),
    "wrong_type.py": TYPO.format("c.train.batch_size = 'many'"),
    "typo.py": TYPO.format("c.train.batch_sise = 3"),
    "no_method.py": TYPO.format("c.method = 'ddgan'"),
    "nan.npz": dict(images=np.array([[0, 1], [np.nan, 0]], np.float32)),
    "text.npz": "no npz",
}
POINTS = ("name=gaussians25", "image_size=0", "channels=0", "flip=false")

# What is given instead of (or after) the arguments of a run that works, and words of the answer.
# Names of FILES stand for those files.
FLAGS = {
    "unknown flag": (["--batch=3"], ["--batch=3"]),
    "stray word": (["train"], ["train", "unknown"]),
    "unknown mode": (["--mode=smaple"], ["--mode", "'smaple'", "train, sample", "'sample'?"]),
    "no such config": (["--config=nope.py"], ["--config=nope.py", "no file"]),
    "config is a folder": (["--config=/"], ["--config=/", "no file"]),
    "config raises": (["--config=raises.py"], ["raises.py", "line 2", "no luck today"]),
    "config is no Python": (["--config=syntax.py"], ["syntax.py", "SyntaxError", "line 1"]),
    "config without get_config": (["--config=empty.py"], ["empty.py", "get_config"]),
    "config returns a number": (["--config=returns_int.py"], ["returns int", "ConfigDict"]),
    "config raises what cannot be printed": (["--config=unprintable.py"], ["fails in line 3: E"]),
    "config of 500 sections": (["--config=deep.py"], ["deep.py", "nest deeper than 20"]),
    "config with numbers as names": (["--config=keys.py"], ["config.eval.extra.1", "unknown"]),
    "config exits": (["--config=exits.py"], ["exits.py", "SystemExit"]),
    "config of a wrong type": (["--config=wrong_type.py"], ["line 4", "batch_size", "many"]),
    "variant that is not there": ([f"{runs.DIGITS}:big"], ["digits.py:big", "get_config"]),
    "process of none": (["--process_id=2"], ["--process_id", "2", "--num_processes=1"]),
    "processes alone": (["--num_processes=2"], ["--num_processes=2", "--coordinator"]),
    "coordinator without port": (["--coordinator=host"], ["--coordinator", "'host'", "PORT"]),
    "no images": (["--mode=sample", "--num_images=0"], ["--num_images", "0", "positive"]),
    "images in words": (["--mode=sample", "--num_images=ten"], ["--num_images", "ten", "int"]),
    "negative seed": (["--mode=sample", "--seed=-1"], ["--seed", "-1", "[0, 2^32)"]),
    "seed far too large": (["--mode=sample", "--seed=9876543210"], ["--seed", "9876543210"]),
    "dashes as a value": (["--process_id=--"], ["--process_id", "'--'"]),
    "value of 5,000 characters": ([f"--coordinator={'x' * 5000}"], ["--coordinator", " ... "]),
    "negative step": (["--mode=sample", "--step=-2"], ["--step", "-2", "-1 for the last"]),
}
CONFIGS = {
    "unknown field": (["train.batchsize=3"], ["config.train.batchsize", "'train.batch_size'?"]),
    "a section": (["train=3"], ["config.train ", "train.batch_size"]),
    "text for an integer": (["train.batch_size=abc"], ["train.batch_size", "'abc'", "integer"]),
    "1e3 for an integer": (["train.batch_size=1e3"], ["train.batch_size", "'1e3'", "integer"]),
    "text for a number": (["ema_decay=high"], ["ema_decay", "'high'", "number"]),
    "text for a switch": (["data.flip=maybe"], ["data.flip", "'maybe'", "true or false"]),
    "no batch": (["train.batch_size=0"], ["train.batch_size", "0", "positive"]),
    "batch over 8 devices": (["train.batch_size=12"], ["train.batch_size", "12", "8 devices"]),
    "batch over parts": (["train.accumulate=3"], ["batch_size", "16", "accumulate = 3"]),
    "part over devices": (["train.accumulate=4"], ["batch_size / accumulate", "4", "8 devices"]),
    "more than the data": (["train.batch_size=1600"], ["train.batch_size", "1600", "1500"]),
    "negative duration": (
        ["train.duration=-5 steps"],
        ["duration", "'-5 steps'", "positive"],
    ),
    "no steps": (["train.duration=0 steps"], ["train.duration", "'0 steps'", "positive"]),
    "unknown unit": (
        ["train.log_every=5 parsecs"],
        ["log_every", "'5 parsecs'", "epochs"],
    ),
    "no unit": (["train.sample_every=5"], ["train.sample_every", "'5'", "steps"]),
    "unit, before data is loaded": (
        ["train.duration=5 parsecs", "data.name=npz:nope.npz"],
        ["train.duration", "'5 parsecs'"],
    ),
    "endless": (["train.duration=inf steps"], ["train.duration", "'inf steps'"]),
    "negative rate": (
        ["optim.gen.learning_rate=-1e-3"],
        ["learning_rate", "-0.001", "positive"],
    ),
    "rate that is none": (
        ["optim.gen.learning_rate=nan"],
        ["learning_rate", "nan", "positive"],
    ),
    "beta of one": (["optim.disc.beta1=1"], ["optim.disc.beta1", "1.0", "[0, 1)"]),
    "decay above one": (["ema_decay=1.5"], ["ema_decay", "1.5", "[0, 1)"]),
    "ramp of no half-life": (["ema_rampup=0.05"], ["ema_rampup", "0.05", "ema_half_life"]),
    "beta that leaves no signal": (["diffusion.beta_max=1000"], ["beta_max", "1000.0", "at most"]),
    "beta of 1e308": (["diffusion.beta_max=1e308"], ["beta_max", "1e+308"]),
    "duration of 1e308": (["train.duration=1e308 epochs"], ["train.duration", "'1e308 epochs'"]),
    "images of 10^12 pixels": (["data.image_size=1000000"], ["data.image_size", "1000000"]),
    "batch of 10^12": (["train.batch_size=1000000000000"], ["train.batch_size", "at most"]),
    "integer of 5,000 digits": (["train.grid=" + "9" * 5000], ["train.grid", "an integer"]),
    "betas the wrong way": (
        ["diffusion.beta_max=0.01"],
        ["diffusion.beta_max is 0.01", "beta_min is 0.1"],
    ),
    "negative seed": (["seed=-1"], ["config.seed", "-1", ">= 0"]),
    "unknown dtype": (["dtype=float8"], ["dtype", "'float8'", "bfloat16"]),
    "unknown data": (["data.name=digit"], ["data.name", "'digit'", "'digits'?"]),
    "unknown split": (["data.split=valid"], ["data.split", "'valid'", "train"]),
    "data not prepared": (["data.name=tfds:mnist", "data.dir=."], ["tfds:mnist", "prepare mnist"]),
    "no such npz": (["data.name=npz:nope.npz"], ["nope.npz", "no such file"]),
    "npz that is none": (["data.name=npz:text.npz"], ["text.npz", "not a readable npz"]),
    "NaN in the data": (["data.name=npz:nan.npz"], ["nan.npz", "NaN", "example 1"]),
    "flipped points": (["data.name=gaussians25", "data.flip=true"], ["data.flip", "True", "false"]),
    "unknown method": (["method=ddgann"], ["method", "'ddgann'", "ddgan", "'ddgan'?"]),
    "unknown network": (["gen.network=mpl"], ["gen.network", "'mpl'", "ncsnpp", "'mlp'?"]),
    "unknown reconstruction": (
        ["reconstruction.kind=weigthed"],
        ["config.reconstruction.kind", "'weigthed'", "'constant' or 'weighted'"],
    ),
    "negative reconstruction": (["reconstruction.weight=-1"], ["reconstruction.weight", "-1.0"]),
    "endless slope": (["reconstruction.delta=inf"], ["reconstruction.delta", "inf", ">= 0"]),
    "networks without width": (["gen.width=0"], ["config.gen.width is 0", "a positive integer"]),
}
OTHERS = {
    "network attribute": (
        [runs.DIGITS.replace("digits", "toy2d"), "--config.gen.network=ncsnpp"],
        ["config.gen.", "is unknown", "network ncsnpp has"],
    ),
    "size for the generator": (
        [*SMALL_CIFAR, "--config.data.image_size=30"],
        ["image_size", "30x30", "config.gen", "multiples of 8"],
    ),
    "size for the discriminator": (
        [*SMALL_CIFAR, "--config.data.image_size=12", "--config.gen.multipliers=1,2"],
        ["image_size", "12x12", "config.disc", "multiples of 8"],
    ),
    "downsampling of another length": (
        [*SMALL_CIFAR, "--config.data.image_size=32", "--config.disc.downsample=true,true"],
        ["disc.downsample", "2 entries", "4 are needed"],
    ),
    "unknown space": ([*WAVELET, "--config.space.kind=wavelets"], ["'wavelets'", "'wavelet'?"]),
    "no level": ([*WAVELET, "--config.space.levels=0"], ["space.levels", "0", "positive"]),
    "10^11 levels": (
        [*WAVELET, "--config.space.levels=100000000000"],
        ["space.levels", "100000000000", "at most"],
    ),
    "a level too many": (
        [*WAVELET, "--config.space.levels=4"],
        ["config.space.levels", "4", "8x8", "multiples of 16", "config.data.image_size"],
    ),
    "bands of points": (
        [*WAVELET, *(f"--config.data.{a}" for a in POINTS)],
        ["config.space.kind", "'wavelet'", "images", "(2,)"],
    ),
    "size for the wavelet generator": (
        [
            WAVELET[0].replace("digits", "lsun_church256"),
            *SMALL_CIFAR[1:],
            "--config.data.image_size=32",
        ],
        ["image_size", "16x16", "config.gen", "multiples of 32"],
    ),
    "image network on points": (
        [CIFAR, *(f"--config.data.{a}" for a in POINTS)],
        ["config.gen.network", "'ncsnpp'", "(2,)", "'mlp'"],
    ),
    "typo in the file": (["--config=typo.py"], ["batch_sise", "unknown", "'train.batch_size'?"]),
    "fields of the method": (["--config=no_method.py"], ["config.latent_size", "missing"]),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A new current folder with FILES in it."""
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        if isinstance(content, dict):
            np.savez(name, **content)
        else:
            (tmp_path / name).write_text(content)
    return tmp_path


ALL = (
    {f"flag: {name}": ([*runs.TINY, *args], words) for name, (args, words) in FLAGS.items()}
    | {
        f"config: {name}": ([*runs.TINY, *(f"--config.{a}" for a in args)], words)
        for name, (args, words) in CONFIGS.items()
    }
    | OTHERS
)


@pytest.mark.parametrize(("args", "words"), ALL.values(), ids=ALL.keys())
def test_mistakes_are_one_line_and_leave_nothing(folder, capfd, args, words):
    before = runs.listing(folder)
    runs.fails(capfd, [*args, "--workdir=run"], *words)
    assert not (folder / "run").exists() and runs.listing(folder) == before


def test_what_is_left_out(folder, capfd):
    runs.fails(capfd, runs.TINY, "train needs --workdir=FOLDER")
    runs.fails(capfd, ["--mode=sample"], "sample needs --workdir=FOLDER")
    runs.fails(capfd, ["--mode=benchmark"], "--config=FILE")
    runs.fails(capfd, ["scaling", runs.DIGITS, "--measure=-1"], "--measure", "'-1'", "positive")
    for command in ("benchmark", "fields"):
        runs.fails(capfd, [command, runs.DIGITS, "--workdir=run"], command, "not both")
    runs.fails(capfd, ["--workdir=run"], "--workdir=run does not exist", "--config=FILE")
    runs.fails(capfd, ["--workdir=run", "--config.seed"], "--config.seed needs a value")
    runs.fails(capfd, ["--workdir"], "--workdir", "argument")
    (folder / "run").mkdir()
    runs.fails(capfd, ["--workdir=run", "--mode=sample"], "run has no config.json", "train first")


def test_a_process_says_one_line_too(folder):
    code, out, err = runs.finish(runs.start(*runs.TINY, "--workdir=/proc/run"))
    assert code == 1 and "Traceback" not in out + err
    runs.one_line(err, ["--workdir=/proc/run", "cannot be written to"])


def test_accumulation_that_breaks_minibatch_stddev(folder):
    changes = {"data.name": "digits", "data.channels": "3", "data.image_size": "32"}
    config = load_config_file(CIFAR.removeprefix("--config="))
    changes |= {"train.batch_size": "12", "train.accumulate": "2", "train.duration": "1 steps"}
    with pytest.raises(UserError, match=r"batch_size / accumulate is 6; .* a multiple of 4"):
        train.train(override(config, changes), folder / "run", devices=jax.devices()[:1])
    assert not (folder / "run").exists()


@pytest.mark.parametrize("place", ["below a file", "a file", "in /proc"])
def test_folders_that_cannot_be(folder, capfd, place):
    file = folder / "file"
    file.write_text("mine")
    workdir = {"below a file": file / "run", "a file": file, "in /proc": "/proc/run"}[place]
    runs.fails(
        capfd, [*runs.TINY, f"--workdir={workdir}"], f"--workdir={workdir}", "another folder"
    )
    runs.trained(folder / "good")
    sample = ["--mode=sample", f"--workdir={folder / 'good'}", f"--out={workdir}"]
    runs.fails(capfd, sample, f"--out={workdir}", "another folder")
    assert file.read_text() == "mine"


@pytest.mark.slow
def test_a_disk_that_is_full_for_the_metrics(tmp_path, capfd, monkeypatch):
    run = runs.trained(tmp_path / "run")
    append = metrics_log.append
    monkeypatch.setattr(metrics_log, "append", lambda path: append(Path("/dev/full")))
    more = [f"--workdir={run}", "--config.train.duration=20 steps"]
    runs.fails(capfd, more, f"--workdir={run}", "No space left", "checkpoints are kept")
    assert runs.steps_saved(run) == [4, 8]
    monkeypatch.undo()
    runs.ok(*more)  # there is room again


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [24, 200])
def test_a_disk_that_is_full(tmp_path, kilobytes):
    """24 kB are not enough for the logs, 200 kB not for the checkpoints."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk is not permitted here")
    try:
        args = [*runs.TINY, f"--workdir={disk}/run", "--config.train.checkpoint_every=2 steps"]
        code, out, err = runs.finish(runs.start(*args))
        assert code == 1 and "Traceback" not in out + err
        runs.one_line(err, ["No space left on device", str(disk)])
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("every", ["1 steps", "100 steps"])
def test_loss_that_is_not_finite(tmp_path, capfd, monkeypatch, every):
    """A learning rate of 1e20 ends the run at once; the last checkpoint is the finite one before.

    The config allows rates up to 1000, which the schedule below replaces by 1e20.
    """
    run = runs.trained(tmp_path / "run")
    more = [f"--workdir={run}", "--config.train.duration=20 steps"]
    wild = [f"--config.optim.gen.{end}learning_rate=1000" for end in ("", "final_")]

    def schedule(peak, final, *rest):
        return cosine_per_epoch(1e20 if peak == 1000 else peak, final, *rest)

    with monkeypatch.context() as patch:
        patch.setattr("ddgan_jax.core.optimizers.cosine_per_epoch", schedule)
        runs.fails(
            capfd,
            [*more, *wild, f"--config.train.checkpoint_every={every}"],
            *("step 9, phase gen: ", "inf", "checkpoint 8 is kept", "learning rate"),
        )
    assert runs.steps_saved(run) == [4, 8]
    assert all(np.isfinite(leaf).all() for leaf in runs.saved(run, 8).values())
    tame = [flag.replace("1000", "1e-4") for flag in wild]
    runs.ok(*more, *tame)
    assert all(np.isfinite(leaf).all() for leaf in runs.saved(run, 20).values())
    assert [line["step"] for line in runs.metrics(run)] == [3, 6, 8, 9, 12, 15, 18, 20]


@pytest.mark.parametrize("content", [None, b"no image"], ids=["empty", "corrupt"])
def test_image_folders(tmp_path, capfd, content):
    photos = tmp_path / "photos"
    photos.mkdir()
    if content:
        (photos / "a.png").write_bytes(content)
    data = f"--data_dir={tmp_path / 'data'}"
    args = ["folder", f"--source={photos}", data, "--name=photos", "--size=8"]
    capfd.readouterr()
    assert main(["prepare", *args]) == 1
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and str(photos) in lines[0]
    assert not list((tmp_path / "data").rglob("dataset_info.json"))


def test_mistakes_answer_before_anything_heavy_is_imported():
    code = (
        "import sys, ddgan_jax.cli as c; assert c.main(['--config.seed=1']) == 1; "
        "assert all(c.main([name, '--help']) == 0 for name in c.COMMANDS); "
        "assert c.main(['--help']) == 0; assert 'jax' not in sys.modules, 'jax'"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=runs.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
