"""examples/photos.sh: its three commands, on a few tiny photos."""

import os
import shutil
import subprocess

import numpy as np
import pytest
import tiny_runs as runs
from PIL import Image

SCRIPT = runs.ROOT / "examples" / "photos.sh"
# The tiny run of other tests on photos, instead of the convolutions of the config.
SMALL = [*runs.TINY, "--config.data.image_size=8", "--config.data.channels=1"]


def commands(tmp_path, *args):
    """The arguments of every `python` that the script starts; a stand-in writes them down."""
    python = tmp_path / "bin" / "python"
    python.parent.mkdir(exist_ok=True)
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@" --end\n')
    python.chmod(0o755)
    env = os.environ | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", str(SCRIPT), *map(str, args)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    parts = done.stdout.split("--end\n")[:-1]
    return [part.splitlines() for part in parts]


def test_the_script_is_sound(tmp_path):
    assert os.access(SCRIPT, os.X_OK)
    assert subprocess.run(["bash", "-n", str(SCRIPT)], check=False).returncode == 0
    assert len(commands(tmp_path, "my photos")) == 3
    assert subprocess.run(["bash", str(SCRIPT)], capture_output=True, check=False).returncode
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed (the extra `test` has it)")
    done = subprocess.run(["shellcheck", str(SCRIPT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_from_photos_to_pictures(tmp_path):
    photos, run = tmp_path / "my photos", tmp_path / "run"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for number in range(16):
        pixels = rng.integers(256, size=(12, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"{number}.jpg")
    length = "--config.train.duration=8 steps"
    train, *rest = commands(tmp_path, photos, run, length)
    assert train[:4] == ["-m", "ddgan_jax", "train", "--config=photos:cpu"]
    assert f"--config.data.name=folder:{photos}" in train and train[-1] == length
    runs.ok("train", *SMALL, *train[4:])
    for args in rest:
        assert args[:3] == ["-m", "ddgan_jax", "sample"]
        runs.ok(*args[2:])
    grids = {path.name for path in (run / "samples").glob("*.png")}
    assert grids == {"reals.png", "step_00000008.png", "samples.png"}
    assert len(list((run / "samples/single").glob("*.png"))) == 10
