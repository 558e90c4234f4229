"""Run folders on disks and in object stores; locks; checkpoints that cannot be read."""

import json
import os
import shutil
import subprocess
import sys

import bucket
import jax
import numpy as np
import pytest
import tiny_runs as runs

import ddgan_jax
from ddgan_jax.core.errors import UserError
from ddgan_jax.io import storage
from ddgan_jax.training.loop import train


def printed(*args):
    """The lines that training prints."""
    said = []
    assert (
        train(runs.config_of(*args), storage.as_path(args[-1].partition("=")[2]), said.append) == 0
    )
    return said


# --- locks --------------------


HOLD = """
import sys, time
from pathlib import Path
from ddgan_jax.io import storage
with storage.locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_lock_ends_with_its_process(tmp_path):
    """The lock is released however the process ends, also by kill -9."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(command, cwd=runs.ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    in_use = pytest.raises(
        UserError, match=r"in use by another training run; .* choose another --workdir"
    )
    with in_use, storage.locked(tmp_path):
        pass
    process.kill()
    runs.finish(process)
    with storage.locked(tmp_path):
        pass
    with storage.locked(tmp_path):  # released at the end of the block
        pass


def test_a_second_run_is_refused(tmp_path, capfd):
    run = runs.trained(tmp_path / "run")
    before = runs.listing(run)
    with storage.locked(run):
        more = [f"--workdir={run}", "--config.train.duration=9 steps"]
        runs.fails(capfd, more, f"--workdir={run} is in use")
        assert runs.listing(run) == before
        runs.ok("--mode=sample", f"--workdir={run}", f"--out={tmp_path}", "--num_images=1")


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def refuse(file, operation):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(storage.fcntl, "flock", refuse)
    with storage.locked(tmp_path):
        pass


# --- checkpoints that cannot be read --------------------


def truncate(folder):
    for file in folder.rglob("d/*"):
        os.truncate(file, file.stat().st_size // 2)


# Orbax leaves unawaited coroutines when a restore fails.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("harm", [truncate, lambda folder: shutil.rmtree(folder / "ema")])
def test_training_resumes_from_the_newest_readable_checkpoint(tmp_path, harm):
    run, whole = runs.trained(tmp_path / "run"), runs.trained(tmp_path / "whole")
    harm(run / "checkpoints" / "8")
    args = [*runs.TINY, "--config.train.checkpoint_every=4 steps", f"--workdir={run}"]
    said = printed(*args)
    (warning,) = (line for line in said if line.startswith("warning: "))
    assert "cannot train on from checkpoint" in warning and "damaged/8.0" in warning
    assert "resumed at step 4" in said
    assert (run / "damaged" / "8.0").is_dir()  # moved, not deleted
    runs.assert_same_state(run, whole, 8)
    assert runs.metrics(run) == runs.metrics(whole)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_a_readable_checkpoint_none_is_moved(tmp_path, capfd):
    run = runs.trained(tmp_path / "run")
    for step in ("4", "8"):
        truncate(run / "checkpoints" / step)
    before = runs.listing(run)
    runs.fails(capfd, [f"--workdir={run}"], "cannot train on", "checkpoints/8")
    assert runs.listing(run) == before


# --- buckets --------------------


@pytest.mark.slow
def test_a_run_in_a_bucket_equals_one_on_a_disk(tmp_path, monkeypatch, capfd):
    bucket.install(monkeypatch, tmp_path)
    workdir, whole = "gs://some/runs/a", runs.trained(tmp_path / "whole")
    args = [*runs.TINY, "--config.train.checkpoint_every=4 steps", f"--workdir={workdir}"]
    runs.ok(*args, "--config.train.duration=4 steps")
    here = tmp_path / "some" / "runs" / "a"
    assert runs.steps_saved(here) == [4] and [m["step"] for m in runs.metrics(here)] == [3, 4]
    capfd.readouterr()
    runs.ok(*args)
    out = capfd.readouterr().out
    assert "resumed at step 4" in out and workdir in out
    names = {path.name for path in here.iterdir()}
    assert names == {*(p.name for p in whole.iterdir()), ".lock"} - {".lock"}
    assert json.loads((here / "config.json").read_text())["method"] == "ddgan"
    # The same bits. The interrupted run has a line at its stop, and a shorter window after it.
    runs.assert_same_state(here, whole, 8)
    lines = runs.metrics(here)
    assert [line["step"] for line in lines] == [3, 4, 6, 8]
    assert [lines[0], lines[3]] == [line for line in runs.metrics(whole) if line["step"] != 6]

    images = ddgan_jax.load(workdir).sample(jax.random.key(0), 3)
    np.testing.assert_array_equal(images, ddgan_jax.load(here).sample(jax.random.key(0), 3))
    out = tmp_path / "out"
    runs.ok("--mode=sample", f"--workdir={workdir}", f"--out={out}", "--num_images=3")
    assert (out / "samples.png").exists()


def test_commands_that_need_a_disk_refuse_buckets(tmp_path, capfd, monkeypatch):
    bucket.install(monkeypatch, tmp_path)
    runs.fails(capfd, ["--mode=sample", "--workdir=gs://b/run"], "gs://b/run", "--out=FOLDER")
    args = ["--mode=sample", "--workdir=run", "--out=gs://b/out"]
    runs.fails(capfd, args, "--out=gs://b/out", "a folder on a disk")


def test_spooled_uploads_changed_files(tmp_path, monkeypatch):
    bucket.install(monkeypatch, tmp_path)
    workdir = storage.as_path("gs://some/run")
    workdir.mkdir(parents=True)
    (workdir / "log").write_text("before\n")
    with storage.spooled(workdir, "log", "not there") as (folder, send):
        with (folder / "log").open("a") as file:
            file.write("after\n")
        (folder / "deep").mkdir()
        (folder / "deep" / "b").write_text("b")
        assert (workdir / "log").read_text() == "before\n"
        send()
        assert (workdir / "log").read_text() == "before\nafter\n"
        (workdir / "log").write_text("mark")
        send()
        assert (workdir / "log").read_text() == "mark"  # unchanged locally, so not uploaded again
        (folder / "deep" / "b").write_text("more")
    assert (workdir / "deep" / "b").read_text() == "more"
    with storage.spooled(tmp_path) as (folder, send):
        assert folder == tmp_path and send() is None


def test_spooled_uploads_before_an_error_ends_the_run(tmp_path, monkeypatch):
    bucket.install(monkeypatch, tmp_path)
    workdir = storage.as_path("gs://some/run")
    with pytest.raises(ZeroDivisionError), storage.spooled(workdir) as (folder, _):
        (folder / "log").write_text("the last line")
        1 / 0  # noqa: B018
    assert (workdir / "log").read_text() == "the last line"


@pytest.mark.cluster
def test_four_samplers_into_one_folder(tmp_path):
    """They are processes of their own, and each ends well."""
    run, out = runs.trained(tmp_path / "run"), tmp_path / "out"
    args = ["--mode=sample", f"--workdir={run}", f"--out={out}", "--num_images=4"]
    started = [runs.start(*args) for _ in range(4)]
    for process in started:
        code, _, err = runs.finish(process)
        assert code == 0, err
    assert {path.name for path in out.iterdir()} == {"samples.png", "samples.npz"}
