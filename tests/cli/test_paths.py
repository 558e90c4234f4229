"""Names of files and folders: `~`, buckets, names that cannot be; one function reads them all."""

import ast
import os
import re
import sys

import pytest
import tiny_runs as runs

from ddgan_jax.cli import COMMANDS, main, parser_of
from ddgan_jax.core.errors import UserError
from ddgan_jax.io.storage import as_path, local_path, name_of

SHIPPED = runs.ROOT / "ddgan_jax" / "pretrained" / "ddgan_digits"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_home_folders(home):
    assert as_path("~/runs/a") == local_path("~/runs/a") == home / "runs" / "a"
    assert as_path("runs/~a") == local_path("runs/~a")
    with pytest.raises(UserError, match="home folder is not known"):
        as_path("~nobody_has_this_name/a")


def test_a_folder_called_like_the_home_folder(home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert as_path("./~") == tmp_path / "~" != as_path("~")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("foo://a", "gs:// or s3://"),
        ("file:///a", "a path on a disk"),
        ("gs://", "BUCKET"),
        ("gs:/a/b", "two slashes"),
        ("s3:/a", "two slashes"),
        ("a\0b", "null"),
        (os.fsdecode(b"a\xff"), "UTF-8"),
    ],
)
def test_names_that_cannot_be_paths(name, words, capfd):
    with pytest.raises(UserError, match=words):
        as_path(name)
    runs.fails(capfd, ["sample", f"--workdir={name}"], words)
    if not name.startswith("gs"):
        runs.fails(capfd, ["sample", f"--workdir={SHIPPED}", f"--out={name}"])


def test_runs_that_come_with_the_package(capfd):
    assert as_path("pretrained://ddgan_digits") == SHIPPED
    assert name_of(SHIPPED) == "pretrained://ddgan_digits" and not name_of(SHIPPED.parent)
    words = (
        "pretrained://nothing: no such run comes with the package",
        "pretrained://ddgan_digits",
    )
    runs.fails(capfd, ["sample", "--workdir=pretrained://nothing", "--out=x"], *words)
    runs.fails(capfd, ["sample", "--workdir=pretrained://ddgan_digits"], "needs --out=FOLDER")
    before = sorted(path.name for path in SHIPPED.iterdir())
    command = ["train", "--config=ddgan_digits", "--workdir=pretrained://ddgan_digits"]
    runs.fails(capfd, command, "a run of the package is only read; --init_from begins")
    assert sorted(path.name for path in SHIPPED.iterdir()) == before


def test_buckets_need_their_package(capfd, monkeypatch):
    monkeypatch.setattr("ddgan_jax.io.storage._installed", lambda package: False)
    runs.fails(capfd, ["sample", "--workdir=gs://bucket/a"], "gs://bucket/a", "pip install gcsfs")
    runs.fails(capfd, ["train", "--workdir=s3://bucket/a"], "pip install s3fs")


# What is asked of each flag that names a path: its command line, and a word of the answer, in which
# ~ is replaced, if the file is missing.
MISSING = {
    "--workdir": ["sample", "--workdir=~/none"],
    "--config": ["train", "--workdir=w", "--config=~/none.py"],
    "--plugins": [*runs.TINY, "--workdir=w", "--plugins=~/none"],
    "--samples": ["digits", "~/none.npz"],
    "modes": ["modes", "~/none.npz"],
    "--runs": ["compare", "--runs=~/none,~/none2", "--out=page"],
    "--source of inception": ["inception", "--source=~/none.pth", "--out=o.npz"],
    "--vgg": ["lpips", "--vgg=~/none.pth", "--heads=~/none.pth", "--out=o.npz"],
    "--checkpoint": [
        *("convert", "--source=ddgan", "--checkpoint=~/none.pth", "--workdir=w"),
        f"--config={runs.ROOT}/configs/ddgan_cifar10.py",
    ],
    "data.name": [*runs.TINY, "--workdir=w", "--config.data.name=npz:~/none.npz"],
    "data.dir": [*runs.TINY, "--workdir=w", "--config.data.name=tfds:mnist", "--config.data.dir=~"],
    "space.autoencoder": [*runs.tiny_lddgan("~/none"), "--workdir=w"],
    "eval.inception": [
        *("evaluate", f"--workdir={SHIPPED}", "--out=o"),
        *("--config.eval.extractors=inception", "--config.eval.inception=~/none.npz"),
    ],
    "eval.extractors": [
        *("evaluate", f"--workdir={SHIPPED}", "--out=o", "--config.eval.extractors=~/none.npz"),
    ],
}


@pytest.mark.parametrize("args", MISSING.values(), ids=MISSING.keys())
def test_every_flag_and_field_expands_the_home_folder(args, home, capfd):
    """Missing files are looked for in the home folder, or nothing below a folder `~` is made."""
    assert main(args) == 1
    err = capfd.readouterr().err
    runs.one_line(err, [])
    assert not (home.parent / "~").exists() and "internal" not in err
    assert str(home) in err or re.search(r"['=:]~", err), err


def test_outputs_go_to_the_home_folder(home, capfd):
    run = runs.trained(home / "run")
    assert run.is_dir()
    runs.ok("sample", "--workdir=~/run", "--out=~/out", "--num_images=4")
    assert (home / "out" / "samples.npz").is_file()
    runs.ok("export", "--workdir=~/run", "--out=~/exported")
    assert (home / "exported" / "config.json").is_file()
    longer = ["--workdir=~/exported", "--config.train.duration=9 steps"]
    runs.fails(capfd, longer, "averaged weights only", "--init_from begins a new run")
    assert not (home.parent / "~").exists()


def test_no_command_makes_a_path_by_itself():
    """Flags become paths through `local_path` and `as_path` alone, which expand `~`."""
    for name in COMMANDS:
        parser_of(name)
        module = sys.modules[COMMANDS[name].module]
        with open(module.__file__) as file:
            tree = ast.parse(file.read())
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Path":
                assert "args" not in ast.unparse(call), (name, ast.unparse(call))
            if isinstance(call, ast.keyword) and call.arg == "type":
                assert ast.unparse(call.value) != "Path", name
