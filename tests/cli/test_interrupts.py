"""^C while a command starts and in the middle of its work: one line, nothing half-written."""

import os
import signal
import time

import numpy as np
import pytest
import tiny_runs as runs
from PIL import Image

from ddgan_jax.inference import export, published
from ddgan_jax.io import checkpoint

# Seconds of processor time: while Python starts, while jax is imported, and later.
MOMENTS = (0.3, 1.5, 4.0)
# Module and arguments; OUT is a new folder, IN that of the files below.
COMMANDS = {
    "convert": (
        "ddgan_jax.convert",
        [f"--workdir={runs.ROOT}/ddgan_jax/pretrained/ddgan_digits", "--export=OUT/a.pth"],
    ),
    "benchmark": ("ddgan_jax", ["benchmark", runs.DIGITS, *runs.NETWORKS]),
    "scaling": ("ddgan_jax.scaling", [runs.DIGITS, "--measure=1"]),
    "figures": ("ddgan_jax.figures", ["--out=OUT"]),
    "prepare": (
        "ddgan_jax.data.prepare",
        ["folder", "--source=IN/photos", "--name=photos", "--size=64", "--data_dir=OUT"],
    ),
    "metrics.classifier": (
        "ddgan_jax.metrics.classifier",
        ["--data=digits", "--steps=100000", "--out=OUT/c.npz"],
    ),
    "metrics.cost": ("ddgan_jax.metrics.cost", ["--count=20000"]),
    "metrics.digits": ("ddgan_jax.metrics.digits", ["IN/digits.npz"]),
    "metrics.modes": ("ddgan_jax.metrics.modes", ["IN/points.npz"]),
}


EVERY_TIME = ("convert", "scaling", "prepare")  # the others with --cluster-full


def pytest_generate_tests(metafunc):
    if "name" in metafunc.fixturenames:
        full = metafunc.config.getoption("--cluster-full")
        metafunc.parametrize("name", COMMANDS if full else EVERY_TIME)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("in")
    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(256, size=(256, 256, 3), dtype=np.uint8))
    picture.save(folder / "photos" / "0.png")
    for i in range(1, 1500):  # seconds of work
        os.link(folder / "photos" / "0.png", folder / "photos" / f"{i}.png")
    np.savez(folder / "digits.npz", images=np.zeros((5000, 8, 8, 1), np.uint8))
    np.savez(folder / "points.npz", images=np.zeros((5000, 2), np.float32))
    return folder


def until_used(process, seconds):
    """Wait until a process has used the processor for so long, or has ended or waits itself."""
    ticks, latest = seconds * os.sysconf("SC_CLK_TCK"), time.monotonic() + 10 * seconds
    while process.poll() is None and time.monotonic() < latest:
        with open(f"/proc/{process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        if int(fields[11]) + int(fields[12]) >= ticks:
            return
        time.sleep(0.01)


@pytest.mark.cluster
def test_interrupts(name, files, tmp_path):
    module, args = COMMANDS[name]
    for moment in MOMENTS:
        out = tmp_path / str(moment)
        filled = [a.replace("OUT", str(out)).replace("IN", str(files)) for a in args]
        process = runs.start(*filled, module=module)
        until_used(process, moment)
        process.send_signal(signal.SIGINT)
        code, _, err = runs.finish(process, timeout=60)
        # Done, refused (the shipped run has no published counterpart), or not started yet.
        if code == 0 or (code == 1 and err.startswith("error: ")) or "init_import_site" in err:
            continue
        assert code in (130, -signal.SIGINT), (moment, code, err)
        assert err in ("", "stopped by SIGINT\n"), (moment, code, err)
        left = [path for path in out.rglob("*") if path.is_file()]
        whole = all(path.suffix in (".png", ".npz", ".pth") for path in left)
        assert whole and not any("tmp" in path.name for path in left), left


@pytest.mark.parametrize("existed", [False, True])
def test_a_folder_that_is_written_as_a_whole_is_empty_after_an_interrupt(
    tmp_path, monkeypatch, existed
):
    run, out = runs.trained(tmp_path / "run"), tmp_path / "out"
    if existed:
        out.mkdir()

    def interrupted(manager, *rest):
        (out / "config.json").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save_ema", interrupted)
    assert published.checkpoint is export.checkpoint is checkpoint
    assert runs.main(["export", f"--workdir={run}", f"--out={out}"]) == 130
    assert out.exists() == existed and (not existed or not list(out.iterdir()))
