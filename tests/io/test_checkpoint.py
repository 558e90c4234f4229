"""Checkpoints: names that lose arrays, verification, copies under another step, clocks, locks."""

import json
import shutil
import time

import jax
import jax.numpy as jnp
import pytest
import tiny_runs as runs

from ddgan_jax.core.errors import UserError
from ddgan_jax.inference.model import load
from ddgan_jax.io import checkpoint, storage
from ddgan_jax.parallel import memory
from ddgan_jax.parallel.mesh import make_mesh, replicated


@pytest.mark.parametrize("name", ["my[seed0]", "lr[1e-4]", "a*", "b?", "a\\b"])
def test_names_with_which_arrays_would_be_lost_are_refused(tmp_path, name, capfd):
    workdir = tmp_path / name / "run"
    runs.fails(capfd, [*runs.TINY, f"--workdir={workdir}"], f"--workdir={workdir}", "full path")
    assert not workdir.exists()
    (tmp_path / "link").symlink_to(tmp_path / name)
    with pytest.raises(UserError, match="full path"):
        storage.check_name("--out", tmp_path / "link" / "run")


def test_a_checkpoint_without_its_arrays_is_noticed(tmp_path, monkeypatch):
    """What orbax does with such a name; the earlier checkpoint is kept."""
    monkeypatch.setattr(checkpoint, "check_name", lambda *args: None)
    run = tmp_path / "run[1]"
    (run / "checkpoints" / "1").mkdir(parents=True)
    with (
        pytest.raises(UserError, match="arrays are missing"),
        checkpoint.opened(run) as manager,
    ):
        checkpoint.save_ema(manager, 2, {"gen": jnp.ones(3)})
    assert (run / "checkpoints" / "1").is_dir()


def test_earlier_checkpoints_are_deleted_once_the_new_one_was_verified(tmp_path):
    with checkpoint.opened(tmp_path / "run", keep=2) as manager:
        for step in (1, 2, 3, 4):
            checkpoint.save_ema(manager, step, {"gen": jnp.ones(3), "empty": {}})
    assert runs.steps_saved(tmp_path / "run") == [3, 4]


def test_a_save_that_is_declined_is_an_error(tmp_path):
    with checkpoint.opened(tmp_path / "run") as manager:
        checkpoint.save_ema(manager, 9, {"gen": jnp.ones(3)})
        checkpoint.wait(manager)
        with pytest.raises(UserError, match=r"step 8 was not saved, because .* steps \[9\]"):
            checkpoint.save_ema(manager, 8, {"gen": jnp.ones(3)})


def test_a_checkpoint_copied_to_another_step(tmp_path, capfd):
    run = runs.trained(tmp_path / "run")
    shutil.copytree(run / "checkpoints" / "8", run / "checkpoints" / "999999")
    with pytest.raises(UserError, match="is of step 8, not 999999"):
        load(run)
    capfd.readouterr()
    runs.ok(*runs.TINY, f"--workdir={run}", "--config.train.duration=9 steps")
    out = capfd.readouterr().out
    assert "resumed at step 8" in out and "damaged/999999.0" in out
    assert runs.steps_saved(run)[-1] == 9


def test_a_clock_that_jumps_times_nothing_out(tmp_path, monkeypatch):
    jumps = iter(range(0, 10**12, 10**5))  # a day at each look
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + next(jumps))
    with checkpoint.opened(tmp_path / "run") as manager:
        checkpoint.save_ema(manager, 1, {"gen": jnp.ones(3)})
    assert runs.steps_saved(tmp_path / "run") == [1]


def test_a_deleted_lock_does_not_let_a_second_run_begin(tmp_path):
    in_use = pytest.raises(UserError, match="in use by another training run")
    with storage.locked(tmp_path) as keep:
        (tmp_path / ".lock").unlink()
        with in_use, storage.locked(tmp_path):
            pass
        keep()
        assert (tmp_path / ".lock").exists()
        (tmp_path / ".lock").unlink()
        (tmp_path / ".lock").touch()
        keep()
        keep()


def test_a_lock_that_another_run_took_is_noticed_before_saving(tmp_path):
    """On a file system where folders cannot be locked, such as NFS."""
    with storage.locked(tmp_path) as keep:
        (tmp_path / ".lock").unlink()
        with open(tmp_path / ".lock", "ab") as file:
            storage.fcntl.flock(file, storage.fcntl.LOCK_EX)
            with pytest.raises(UserError, match="in use by another training run"):
                keep()


def test_arrays_larger_than_the_memory_are_refused(monkeypatch, capfd, tmp_path):
    tree = checkpoint.with_sharding(
        {"a": jax.ShapeDtypeStruct((2**20, 2**20), jnp.float32)}, replicated(make_mesh())
    )
    with pytest.raises(UserError, match=r"the state has 4,096.0 GiB on each device, which has"):
        memory.check_fits("the state", tree)
    monkeypatch.setattr(memory, "device_memory", lambda: 1000)
    runs.fails(capfd, [*runs.TINY, f"--workdir={tmp_path / 'run'}"], "the train state has")


def test_flipped_bits_are_noticed(tmp_path, capfd):
    """Also those that still decompress; of the items that are read alone."""
    run = runs.trained(tmp_path / "run")
    folder = run / "checkpoints" / "8"
    files = {
        item: max((folder / item).rglob("d/*"), key=lambda path: path.stat().st_size)
        for item in ("ema", "state")
    }

    def flip(path):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    flip(files["state"])
    # The step is read first; what follows is compared with its checksum.
    with pytest.raises(UserError, match=r"cannot .*(state/.* is not what was saved|DATA_LOSS)"):
        load(run, raw=True)
    flip(files["state"])
    load(run, raw=True)
    flip(files["ema"])
    with pytest.raises(UserError, match=r"cannot sample from .*ema/.* is not what was saved"):
        load(run)
    (folder / "checksums.json").write_text('{"crc32": 3}')
    with pytest.raises(UserError, match=r"checksums\.json: crc32 is 3"):
        load(run)
    for name in ("ema/../../../../../dev/zero", "/dev/zero"):
        (folder / "checksums.json").write_text(json.dumps({"crc32": {name: "0 00000000"}}))
        with pytest.raises(UserError, match=r"checksums\.json names .*files of this checkpoint"):
            load(run)
    (folder / "checksums.json").unlink()  # as in versions before
    flip(files["ema"])
    load(run)
    runs.ok("--mode=export", f"--workdir={run}", f"--out={tmp_path / 'shared'}")
    assert (tmp_path / "shared" / "checkpoints" / "8" / "checksums.json").exists()
