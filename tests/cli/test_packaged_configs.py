"""Configs of the package by name, the dry run, and hints at the field that was meant."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny_runs as runs
from PIL import Image

import ddgan_jax
from ddgan_jax.cli import main
from ddgan_jax.config.overrides import load_config_file, meant
from ddgan_jax.config.packaged import FOLDER, packaged, summary
from ddgan_jax.core.images import to_uint8
from ddgan_jax.inference.sample import Wanted, _asked_for, _write_each

CONFIGS = runs.ROOT / "configs"


def test_the_package_has_the_configs_of_the_project():
    assert set(packaged()) == {path.stem for path in CONFIGS.glob("*.py")}
    assert FOLDER.resolve() == CONFIGS.resolve()
    for name, path in packaged().items():
        assert re.fullmatch(r"[^\n]{20,110}", summary(path)), name


def test_a_config_by_name_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    by_name = load_config_file("lddgan_cifar10:uvit_tiny")
    by_file = load_config_file(f"{CONFIGS}/lddgan_cifar10.py:uvit_tiny")
    assert by_name.to_dict() == by_file.to_dict()
    Path("ddgan_digits").write_text("from ddgan_jax.presets import gan\nget_config = None\n")
    runs_own_file = main(["fields", "--config=ddgan_digits"])
    assert runs_own_file == 1  # a file of that name comes first


def test_configs_are_listed_shown_and_copied(tmp_path, capsys):
    assert main(["configs"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == list(packaged())
    assert main(["configs", "ddgan_cifar10"]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("Command:", "Hardware:", "Time:", "Expected:", "Source:"))
    copy = tmp_path / "mine.py"
    assert main(["configs", "ddgan_digits", f"--copy={copy}"]) == 0
    assert load_config_file(str(copy)).to_dict() == load_config_file("ddgan_digits").to_dict()
    capsys.readouterr()
    assert main(["configs", "ddgan_digits", f"--copy={copy}"]) == 1
    assert "is already there" in capsys.readouterr().err
    assert main(["configs", "ddgan_digit"]) == 1
    assert "did you mean 'ddgan_digits'?" in capsys.readouterr().err
    assert main(["configs", f"--copy={tmp_path / 'none.py'}"]) == 1
    assert "--copy needs the NAME" in capsys.readouterr().err


def test_a_dry_run_prints_sizes_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *runs.TINY, "--dry_run", "--workdir=run"]) == 0
    out = capsys.readouterr().out
    assert "parameters of gen: " in out and "num_steps=2" in out
    assert re.search(r"16 images, [\d.]+ GFLOP; on each of .* MiB of state .* MiB of activ", out)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("config", "changes", "words"),
    [
        ("ddgan_digits", ("data.name=digit", "data.channels=1"), "did you mean 'digits'?"),
        ("ddgan_toy2d", ("data.image_size=7", "data.channels=3"), "gaussians25 holds points"),
        ("ddgan_digits", ("eval.every=1 epochs", "eval.metrics=frechett"), "'frechet'?"),
    ],
)
def test_a_dry_run_refuses_what_training_refuses(capfd, config, changes, words):
    sizes = "--config.data.image_size=8"
    args = [f"--config={config}", "--dry_run", sizes, *runs.flags(changes)]
    runs.fails(capfd, ["train", *args], words)


@pytest.mark.parametrize(
    "args, expected",
    [
        (["--config=ddgan_digts"], "did you mean 'ddgan_digits'?"),
        (["--config=xyz.py"], "python -m ddgan_jax configs lists those of the package"),
        (["--config=a/ddgan_digits.py"], "--config=ddgan_digits is a config of the package"),
        (["--config=ddgan_digits", "--config.batch=3"], "did you mean 'train.batch_size'?"),
        (["--config=ddgan_digits", "--config.train.epochs=3"], "did you mean 'train.duration'?"),
        (["--config=ddgan_digits", "--config.lr=3"], "'optim.gen.learning_rate'"),
        (["--config=ddgan_digits", "--config.noise=image"], "(--config=gan_digits)"),
        (["--config=ddgan_digits", "--steps=3"], "did you mean --config.train.duration?"),
        (["--config=ddgan_digits", "--lr=3"], "did you mean --config.optim.gen.learning_rate?"),
    ],
)
def test_hints(capfd, args, expected):
    runs.fails(capfd, ["train", "--workdir=never_made", *args], expected)


def test_meant_prefers_names_of_fields():
    fields = ("seed", "train.batch_size", "optim.gen.learning_rate", "data.name")
    assert meant("seed", fields) == ["seed"]
    assert meant("LR", fields) == ["optim.gen.learning_rate"]
    assert meant("dataset", fields) == ["data.name"]
    assert meant("nothing", fields) == []


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.trained(tmp_path_factory.mktemp("by_seeds") / "run")


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_a_file_for_each_seed(run, tmp_path, capfd):
    sample = ["sample", f"--workdir={run}"]
    runs.ok(*sample, f"--out={tmp_path}", "--format=png", "--seeds=7,0-2")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"seed{seed:04d}_step00000008.png" for seed in (0, 1, 2, 7)
    ]
    runs.ok(*sample, f"--out={tmp_path / 'a'}", "--seed=7", "--num_images=3")
    with np.load(tmp_path / "a" / "samples.npz") as file:
        first = file["images"][0, :, :, 0]
    np.testing.assert_array_equal(pixels(tmp_path / "seed0007_step00000008.png"), first)
    runs.ok(*sample, f"--out={tmp_path / 'b'}", "--seeds=1,7", "--columns=1")
    with np.load(tmp_path / "b" / "samples.npz") as file:
        assert file["seeds"].tolist() == [1, 7] and "seed" not in file
        np.testing.assert_array_equal(file["images"][1, :, :, 0], first)
    height, width, _ = pixels(tmp_path / "b" / "samples.png").shape
    assert height > 1.8 * width
    runs.ok(*sample, f"--out={tmp_path / 'c'}", "--format=png", "--seed=7", "--num_images=2")
    names = sorted(path.name for path in (tmp_path / "c").iterdir())
    assert names == ["seed0007_00000_step00000008.png", "seed0007_00001_step00000008.png"]
    np.testing.assert_array_equal(pixels(tmp_path / "c" / names[0]), first)


def test_raw_weights_are_those_of_the_last_step(run, tmp_path):
    images = {}
    for weights in ("average", "raw"):
        out = tmp_path / weights
        args = [f"--weights={weights}", "--num_images=2", f"--out={out}"]
        runs.ok("sample", f"--workdir={run}", *args)
        with np.load(out / "samples.npz") as file:
            images[weights] = file["images"]
    raw = ddgan_jax.load(run, raw=True).sample(jax.random.key(0), 2)
    np.testing.assert_array_equal(images["raw"], to_uint8(raw))
    assert not np.array_equal(images["raw"], images["average"])


def test_files_are_told_apart_by_what_was_asked_for(tmp_path):
    """Samples of one seed, but of other classes or weights, have other names."""
    found = {"images": np.zeros((1, 8, 8, 1), np.uint8), "step": 5, "seed": 0}
    asked = [(Wanted(label=3), False), (Wanted(label=4), False), (Wanted(psi=0.5), True)]
    for wanted, raw in asked:
        _write_each(tmp_path, found, _asked_for(wanted, raw))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "seed0000_00000_step00000005_class3.png",
        "seed0000_00000_step00000005_class4.png",
        "seed0000_00000_step00000005_psi0.5_raw.png",
    ]


def test_flags_that_contradict_each_other(capfd):
    run = f"--workdir={runs.ROOT}/ddgan_jax/pretrained/ddgan_digits"
    words = ("--num_images=3 goes with --seed", "--seeds")
    runs.fails(capfd, ["sample", run, "--seeds=1-2", "--num_images=3"], *words)
    runs.fails(capfd, ["sample", run, "--seeds=1-2", "--seed=5"], "--seed=5", "exclude")
    runs.fails(capfd, ["sample", run, "--format=png", "--columns=5"], "--columns=5", "grid")
    runs.fails(capfd, ["scaling", "ddgan_digits", "ddgan_toy2d", "--weak"], "--weak goes with")
    runs.fails(capfd, ["scaling", "ddgan_digits", "gan_digits", "--measure=1"], "--measure takes")
    runs.fails(capfd, ["sample", run, "--seeds=1-3,2"], "--seeds", "has 2 twice")
    runs.fails(capfd, ["sample", run, "--seeds=0,0"], "--seeds", "has 0 twice")
    samples = ["evaluate", run, "--samples=npz:x.npz", "--out=x"]
    runs.fails(capfd, [*samples, "--step=7"], "--step=7 is for samples of a run")
    runs.fails(capfd, samples, "--samples is 'npz:x.npz'")
    runs.fails(capfd, ["train", "--config=gan_digits", "--dry_run", "--init_from=/nope"], "/nope")


@pytest.mark.parametrize("text", ["a", "3-1", "-1", "0-4294967296", "0-99999999", "1,,2"])
def test_seeds_that_cannot_be(capfd, text):
    runs.fails(capfd, ["sample", "--workdir=x", f"--seeds={text}"], "--seeds", "are needed")
