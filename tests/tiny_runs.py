"""Tiny runs for the tests of the command line: seconds to compile, milliseconds a step."""

import atexit
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import compiling
import jax
import numpy as np

from ddgan_jax.cli import main, parser_of
from ddgan_jax.cli.common import read_config
from ddgan_jax.io import checkpoint

ROOT = Path(__file__).resolve().parents[1]
DIGITS = f"--config={ROOT}/configs/ddgan_digits.py"
SIZES = ("width=16", "blocks=1", "t_width=8")
NETWORKS = [f"--config.{role}.{size}" for role in ("gen", "disc") for size in SIZES]
TINY = [
    *(DIGITS, *NETWORKS),
    *("--config.latent_size=4", "--config.diffusion.num_steps=2", "--config.r1.every=4"),
    *("--config.train.batch_size=16", "--config.train.grid=4", "--config.train.log_every=3 steps"),
    "--config.train.duration=8 steps",
]
TINY_DDDG = [  # three steps, 0 to 2, of 16 carried images
    *(f"--config={ROOT}/configs/dddg_digits.py", *NETWORKS, "--config.latent_size=3"),
    *("--config.degradation.kind=dct", "--config.degradation.levels=1,4", *TINY[-4:]),
]


def flags(fields):
    return [f"--config.{field}" for field in fields]


_SHARED = ("train.batch_size=16", "train.grid=4", "train.log_every=3 steps")
TINY_AUTOENCODER = [
    f"--config={ROOT}/configs/autoencoder_digits.py",
    *flags(["autoencoder.width=16", "autoencoder.blocks=1", "disc.width=4"]),
    *flags(["loss.adversarial_start=4", *_SHARED, "train.duration=8 steps"]),
    "--config.eval.num_samples=40",
]


def tiny_lddgan(folder, *fields):
    """Arguments of a tiny LDDGAN in the latents of the autoencoder in run folder `folder`."""
    sizes = [f"{role}.{size}" for role in ("gen", "disc") for size in ("width=16", "blocks=1")]
    rest = ["latent_size=4", "r1.every=4", "train.duration=8 steps"]
    return [
        f"--config={ROOT}/configs/lddgan_digits.py",
        *flags([*sizes, *_SHARED, *rest, f"space.autoencoder={folder}", *fields]),
    ]


SPEED = ("images_per_second", "seconds")  # what differs from one run to the next

# Runs of equal config share what XLA compiled, in this process and in those that are started.
_SCRATCH = Path(tempfile.mkdtemp(prefix="ddgan_jax_tests_"))
atexit.register(shutil.rmtree, _SCRATCH, ignore_errors=True)
os.environ["DDGAN_CACHE"] = str(_SCRATCH / "cache")
jax.config.update("jax_compilation_cache_dir", str(_SCRATCH / "compiled"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def config_of(*args):
    """The config of training with these arguments."""
    return read_config(parser_of("train").parse(args))


def ok(*args):
    """Run the command in this process; it has to succeed."""
    assert main([str(arg) for arg in args]) == 0


@functools.cache
def _trained():
    ok(*TINY, f"--workdir={_SCRATCH / 'trained'}", "--config.train.checkpoint_every=4 steps")
    return _SCRATCH / "trained"


def trained(workdir):
    """A copy at `workdir` of a finished tiny run: 8 steps, checkpoints at 4 and 8."""
    shutil.copytree(_trained(), workdir)
    return workdir


def rewind(workdir, step):
    """Remove later checkpoints, as if the run had been killed before saving them."""
    for later in steps_saved(workdir):
        if later > step:
            shutil.rmtree(Path(workdir) / "checkpoints" / str(later))


def one_line(err, words):
    """Assert that `err` is one error line with all these words."""
    assert err.startswith("error: ") and err.endswith("\n") and err.count("\n") == 1, err
    for word in words:
        assert word in err, err


def fails(capfd, args, *words):
    capfd.readouterr()
    assert main([str(arg) for arg in args]) == 1
    one_line(capfd.readouterr().err, words)


def environment(devices=1, path="", variables=()):
    """Environment variables of a process of the command; `path` comes first in PYTHONPATH."""
    env = os.environ | dict(variables)
    env |= {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(path), str(ROOT)))),
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
        "JAX_COMPILATION_CACHE_DIR": str(_SCRATCH / "processes"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # this and the next as in conftest.py
        "XLA_FLAGS": compiling.xla_flags(),
    }
    return env


def start(*args, devices=1, path="", variables=(), module="ddgan_jax.main", **popen):
    """The command as a process of its own, see `environment`."""
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    command = [sys.executable, "-m", module, *map(str, args)]
    env = environment(devices, path, variables)
    return subprocess.Popen(command, env=env, cwd=ROOT, **pipes, **popen)


def free_port():
    with socket.socket() as s:
        s.bind(("localhost", 0))
        return s.getsockname()[1]


def start_many(count, *args, **how):
    """Start the command as `count` processes of one run."""
    together = [f"--coordinator=localhost:{free_port()}", f"--num_processes={count}"]
    return [start(*args, *together, f"--process_id={i}", **how) for i in range(count)]


def until_saved(workdir, step, process, timeout=300):
    """Wait until a checkpoint of `step` or later is there, or the process has ended."""
    deadline = time.monotonic() + timeout
    while process.poll() is None and max(steps_saved(workdir), default=-1) < step:
        assert time.monotonic() < deadline, "no checkpoint in five minutes"
        time.sleep(0.005)


def finish(process, timeout=400):
    """(exit status, stdout, stderr)."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out, err


def steps_saved(workdir):
    folder = Path(workdir) / "checkpoints"
    return sorted(int(entry.name) for entry in folder.glob("*") if entry.name.isdecimal())


def saved(workdir, step):
    """Everything in a checkpoint, by name, as numpy arrays on this machine."""
    with checkpoint.opened(Path(workdir), read_only=True) as manager:
        # Where it was saved, or here if this process has no such devices.
        here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        whole = checkpoint.args.StandardRestore(fallback_sharding=here)
        items = {
            item: manager.restore(step, args=checkpoint.args.Composite(**{item: whole}))[item]
            for item in ("state", "ema")
        }
    leaves = jax.tree_util.tree_leaves_with_path(items)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def assert_same_state(one, other, step):
    """The checkpoints of two run folders hold the same bits."""
    a, b = saved(one, step), saved(other, step)
    assert a.keys() == b.keys() and len(a) > 20
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def metrics(workdir, without=SPEED):
    """The lines of metrics.jsonl."""
    lines = (Path(workdir) / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in without} for line in lines]


def listing(folder):
    """{path: (size, time of the last change)} of all files below `folder`."""
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}
