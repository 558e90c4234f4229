"""examples/photos.sh: its three commands, on a few tiny photos."""

import os
import shutil
import subprocess

import numpy as np
import pytest
import tiny_runs as runs
from PIL import Image
from scripts import commands

SCRIPT = runs.ROOT / "examples" / "photos.sh"
# The tiny run of other tests on photos, instead of the convolutions of the config.
SMALL = [*runs.TINY, "--config.data.image_size=8", "--config.data.channels=1"]


def test_the_script_is_sound(tmp_path):
    assert os.access(SCRIPT, os.X_OK)
    assert subprocess.run(["bash", "-n", str(SCRIPT)], check=False).returncode == 0
    assert len(commands(SCRIPT, tmp_path, "my photos")) == 3
    assert subprocess.run(["bash", str(SCRIPT)], capture_output=True, check=False).returncode
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed (the extra `test` has it)")
    done = subprocess.run(["shellcheck", str(SCRIPT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_from_photos_to_pictures(tmp_path):
    photos, run = tmp_path / "my photos", tmp_path / "run"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for number in range(16):
        pixels = rng.integers(256, size=(12, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(photos / f"{number}.jpg")
    length = "--config.train.duration=8 steps"
    train, *rest = commands(SCRIPT, tmp_path, photos, run, length)
    assert train[:4] == ["-m", "ddgan_jax", "train", "--config=photos:cpu"]
    assert f"--config.data.name=folder:{photos}" in train and train[-1] == length
    runs.ok("train", *SMALL, *train[4:])
    for args in rest:
        assert args[:3] == ["-m", "ddgan_jax", "sample"]
        runs.ok(*args[2:])
    grids = {path.name for path in (run / "samples").glob("*.png")}
    assert grids == {"reals.png", "step_00000008.png", "samples.png"}
    assert len(list((run / "samples/single").glob("*.png"))) == 10
