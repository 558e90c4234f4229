"""What commands let through of the logs and exceptions of the libraries below."""

import logging
import subprocess
import sys
import types

import pytest
import tiny_runs as runs
from jax.errors import JaxRuntimeError

from ddgan_jax.cli import environment
from ddgan_jax.cli.exit_status import Status, run_command
from ddgan_jax.core.errors import UserError
from ddgan_jax.io.orbax_logs import told_once


def orbax_record(message, error=None, name="absl", file="/x/orbax/checkpoint/future.py"):
    info = (type(error), error, None) if error else None
    return logging.LogRecord(name, logging.ERROR, file, 1, message, (), info)


@pytest.fixture
def logged(monkeypatch):
    """Messages that reach the handlers of the loggers."""
    messages = []
    for name in ("absl", "asyncio"):
        logger = logging.getLogger(name)
        monkeypatch.setattr(logger, "callHandlers", lambda r: messages.append(r.getMessage()))
        monkeypatch.setattr(logger, "disabled", False)
    return messages


def log(*records):
    for record in records:
        logging.getLogger(record.name).handle(record)


def test_threads_of_a_save_into_a_folder_that_vanished(logged):
    """Each thread of orbax names another of the folders that are not there."""
    missing = "Checkpoint directory does not exist: run/checkpoints/10/"

    def run():
        log(orbax_record("a", ValueError(missing + "state")))
        log(orbax_record("b", ValueError('NOT_FOUND: Error writing "key/0" in OCDBT database')))
        raise UserError(f"a checkpoint could not be saved: {missing}ema")

    assert run_command(run) == 1 and logged == []


def test_a_failure_that_python_raises_is_not_logged_as_well(logged):
    with pytest.raises(UserError), told_once():
        log(orbax_record("a", ValueError("No space left on device")))
        log(orbax_record("b", ValueError("something else")))
        raise UserError("cannot be saved: No space left on device")
    assert logged == ["b"]
    with told_once():
        log(orbax_record("c", ValueError("No space left on device")))
    assert logged == ["b", "c"]


def test_a_reported_failure_of_orbax_is_not_logged_as_well(logged, capsys):
    cause, other = ValueError("No space left on device [28]"), ValueError("No space left on device")
    unrelated = ValueError("something else")

    def run():
        log(orbax_record("a", cause), orbax_record("b", other), orbax_record("c", unrelated))
        assert logged == []
        raise UserError("cannot be saved: No space left on device") from cause

    assert run_command(run) == 1
    assert logged == ["c"]
    log(orbax_record("later", cause))
    assert logged == ["c", "later"]


def test_what_waited_for_a_lost_process_is_not_logged_as_well(monkeypatch, logged):
    import jax

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    waited = TimeoutError("Timed out while waiting for async_commit_complete barrier.")
    waited.__cause__ = JaxRuntimeError("DEADLINE_EXCEEDED: Barrier timed out. Id: commit.")

    def run():
        log(orbax_record("waited", waited), orbax_record("another", ValueError("a bug")))
        raise JaxRuntimeError("UNKNOWN: Gloo all-reduce failed: Connection reset by peer")

    assert run_command(run) == Status.LOST
    assert logged == ["another"]


@pytest.mark.parametrize("error", [None, UserError("--seed is 3"), ValueError("a bug")])
def test_other_failures_of_orbax_are_logged(error, logged, tmp_path, monkeypatch):
    """Those of an internal error are in the file with its details."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def run():
        log(orbax_record("a", ValueError("disk")), orbax_record("b", OSError("x"), "asyncio"))
        if error:
            raise error
        return 0

    if run_command(run) == 70:
        [file] = tmp_path.glob("ddgan_jax_error_*.txt")
        assert all(word in file.read_text() for word in ("a bug", "disk", "asyncio"))
    else:
        assert logged == ["a", "b"]


def test_notes_of_orbax_and_records_of_others(logged):
    def run():
        log(
            orbax_record("Given directory is read only=/x"),
            orbax_record("a warning"),
            orbax_record("a failure", ValueError("x"), file="/x/other/library.py"),
            orbax_record("Given directory is read only=/x", file="/x/other/library.py"),
        )
        return 0

    assert run_command(run) == 0
    assert logged == ["a warning", "a failure", "Given directory is read only=/x"]


def closed_loop():
    """The exception of tensorstore's callback, with its traceback."""
    import asyncio

    loop = asyncio.new_event_loop()
    loop.close()
    try:
        loop.call_soon_threadsafe(print)
    except RuntimeError as error:
        return error


def test_the_hook_passes_failures_on(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", seen.append)
    environment.ignore_closed_event_loops()

    async def orbax_coroutine():
        pass

    def hear(error, trace=None, source=None):
        sys.unraisablehook(
            types.SimpleNamespace(
                exc_type=type(error),
                exc_value=error,
                exc_traceback=trace or error.__traceback__,
                err_msg=None,
                object=source,
            )
        )

    hear(closed_loop())
    frame = types.SimpleNamespace(cr_code=types.SimpleNamespace(co_filename="/x/orbax/a.py"))
    hear(RuntimeWarning("coroutine 'f' was never awaited"), source=frame)
    assert seen == []
    mine = types.SimpleNamespace(cr_code=types.SimpleNamespace(co_filename="/x/mine.py"))
    for error, source in (
        (RuntimeError("Event loop is closed"), None),  # from somewhere else
        (RuntimeError("another"), None),
        (ValueError("a bug"), None),
        (RuntimeWarning("coroutine 'f' was never awaited"), mine),
    ):
        hear(error, source=source)
        assert seen[-1].exc_value is error
    assert len(seen) == 4


def test_a_failure_in_a_destructor_is_seen_in_a_process():
    code = (
        "from ddgan_jax.cli import environment; environment.ignore_closed_event_loops()\n"
        "class A:\n  def __del__(self): raise ValueError('lost data')\n"
        "a = A(); del a"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=runs.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0 and "lost data" in done.stderr
