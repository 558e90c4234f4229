"""Settings of all tests: eight CPU devices, strict dtype promotion, the longest files first."""

import os
import signal
from collections import Counter
from pathlib import Path

import compiling
import jax
import pytest

from ddgan_jax.cli import environment

# A shell that runs the tests in the background ignores these, and the started processes would too.
for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGUSR1, signal.SIG_DFL),
):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, handler)
os.environ["XLA_FLAGS"] = compiling.xla_flags()  # XLA reads it when it first compiles
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_disable_most_optimizations", True)  # half the time of compiling
jax.config.update("jax_numpy_dtype_promotion", "strict")


# Files of few tests that take minutes: those that start processes, and whole runs.
LONG = ("pods", "resume", "layout", "evaluate", "launch_compare", "faults", "devices", "parity")


def pytest_addoption(parser):
    parser.addoption(
        "--cluster-full",
        action="store_true",
        help="also the tests marked `full`, and every kind of fault instead of three",
    )


@pytest.hookimpl(trylast=True)  # after pytest has set its own hook
def pytest_configure():
    """Ignore callbacks of a failed restore: they may come during a later test."""
    environment.ignore_closed_event_loops()


def pytest_collection_modifyitems(config, items):
    """Without `--cluster-full` no test marked `full`.

    The longest files come first: one of them at the end would leave a worker idle.
    """
    if not config.getoption("--cluster-full"):
        left_out = [item for item in items if item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    marked = [item for item in items if {"slow", "cluster"} & {m.name for m in item.iter_markers()}]
    slow = Counter(item.path.stem for item in marked)
    slow.update({f"test_{name}": 20 for name in LONG})
    items.sort(key=lambda item: -slow[item.path.stem])


@pytest.fixture(scope="session")
def reference():
    """Path within $DDGAN_REFERENCE, a folder of published numbers and data; skips without it.

    It holds `reference/*.npz` (outputs of the published implementations) and `data/mnist` (the
    idx files); it is no part of the project.
    """

    def path(name: str) -> Path:
        folder = os.environ.get("DDGAN_REFERENCE", "")
        if not (folder and (Path(folder) / name).exists()):
            pytest.skip(f"$DDGAN_REFERENCE ({folder or 'not set'}) has no {name}")
        return Path(folder) / name

    return path
