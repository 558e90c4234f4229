"""^C and other signals at any moment of a command: one line, status 128 + number."""

import os
import signal
import subprocess
import sys
import time

import pytest
import tiny_runs as runs

from ddgan_jax.cli.exit_status import run_command
from ddgan_jax.core import signals

SHIPPED = runs.ROOT / "ddgan_jax" / "pretrained" / "ddgan_digits"

# Seconds after the start of a command that takes longer: the interpreter imports numpy, jax, ...
MOMENTS = (0.3, 0.7, 1.2, 2.0, 3.0)


def started(code, before=""):
    """A process that runs `code` with the signals of a command, and prints "ready" first."""
    head = "import sys, time; from ddgan_jax.core import signals; signals.install()\n"
    return subprocess.Popen(
        [sys.executable, "-u", "-c", before + head + code],
        env=runs.environment(),
        cwd=runs.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stop(process, number=signal.SIGINT):
    """(exit status, stderr, seconds until the end) of a process that is sent a signal."""
    if process.poll() is None and process.stdout is not None:
        assert process.stdout.readline() == "ready\n"
    began = time.monotonic()
    process.send_signal(number)
    code, _, err = runs.finish(process, timeout=60)
    return code, err, time.monotonic() - began


IN_COMMAND = """
from ddgan_jax.cli.exit_status import run_command
signals.raise_from_now_on(True)
def command():
    {}
sys.exit(run_command(command))
"""


@pytest.mark.cluster
@pytest.mark.parametrize("number", signals.STOPPING)
def test_a_signal_before_the_command_ends_it_at_once(number):
    code, err, seconds = stop(started("print('ready'); time.sleep(60)"), number)
    assert (code, err) == (128 + number, f"stopped by {number.name}\n") and seconds < 5


@pytest.mark.cluster
def test_temporary_files_are_removed(tmp_path):
    (tmp_path / "temporary").touch()
    work = (
        f"import os\n    try:\n        print('ready'); time.sleep(60)\n"
        f"    finally: os.unlink({str(tmp_path / 'temporary')!r})"
    )
    code, err, _ = stop(started(IN_COMMAND.format(work)), signal.SIGTERM)
    assert (code, err) == (143, "stopped by SIGTERM\n")
    assert not (tmp_path / "temporary").exists()


@pytest.mark.cluster
@pytest.mark.parametrize(
    "stuck",
    [
        # Compiled code that does not come back: ctypes releases the lock of the interpreter.
        "import ctypes; print('ready'); ctypes.CDLL(None).sleep(60)",
        # Code that goes on after any exception.
        "print('ready')\n    while True:\n        try: time.sleep(60)\n"
        "        except BaseException: pass",
    ],
    ids=["compiled", "swallowed"],
)
def test_what_does_not_come_back_is_ended(stuck):
    if "BaseException" in stuck:
        stuck = stuck.replace("print(", "signals.CLEANUP_SECONDS = 2; print(", 1)
    code, err, seconds = stop(started(IN_COMMAND.format(stuck)))
    assert (code, err) == (130, "stopped by SIGINT\n") and seconds < 15


@pytest.mark.cluster
def test_imports_and_destructors_do_not_lose_the_signal(tmp_path):
    """An exception in an import may crash compiled modules; one in a destructor is dropped."""
    (tmp_path / "slow_module.py").write_text(
        "import time\nprint('ready')\ntry:\n  time.sleep(1)\nexcept BaseException:\n"
        "  print('in the import')\n"
    )
    work = f"sys.path.insert(0, {str(tmp_path)!r}); import slow_module; time.sleep(60)"
    process = started(IN_COMMAND.format(work))
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    code, out, err = runs.finish(process, timeout=60)
    assert (code, out, err) == (130, "", "stopped by SIGINT\n")
    work = (
        "from ddgan_jax.cli import environment; environment.ignore_closed_event_loops()\n"
        "    class Slow:\n        def __del__(self): print('ready'); time.sleep(1)\n"
        "    Slow(); time.sleep(60)"
    )
    code, err, seconds = stop(started(IN_COMMAND.format(work)))
    assert (code, err) == (130, "stopped by SIGINT\n") and seconds < 10


@pytest.mark.cluster
def test_ignored_signals_stay_ignored():
    """As under nohup."""
    process = started(
        "print('ready'); time.sleep(1); print('done')",
        before="import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n",
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGHUP)
    assert runs.finish(process, timeout=60) == (0, "done\n", "")


@pytest.mark.cluster
@pytest.mark.parametrize(
    "args",
    [
        ["sample", f"--workdir={SHIPPED}", "--num_images=1000000", "--out=OUT"],
        ["figures", "--out=OUT"],
        ["metrics_cost"],
        [*runs.TINY, "--workdir=OUT", "--config.train.duration=100000 steps"],
    ],
    ids=["sample", "figures", "metrics_cost", "train"],
)
def test_interrupts_in_the_first_seconds_of_commands(args, tmp_path):
    for moment in MOMENTS:
        out = tmp_path / str(moment)
        process = runs.start(*(a.replace("OUT", str(out)) for a in args), module="ddgan_jax")
        time.sleep(moment)
        if process.poll() == 0:  # done already
            runs.finish(process)
            continue
        process.send_signal(signal.SIGINT)
        code, _, err = runs.finish(process, timeout=60)
        if "init_import_site" in err:  # Python itself had not started yet
            continue
        # Shells report 130 for both: the command's own status, and an end in Python's shutdown.
        assert code in (130, -signal.SIGINT), (moment, code, err)
        assert err in ("", "stopped by SIGINT\n"), (moment, code, err)
        left = [p.name for p in out.rglob("*") if "tmp" in p.name] if out.exists() else []
        # Training removes them when it resumes.
        assert not left or args[0].startswith("--config"), left


def test_a_command_in_this_process_reports_an_interrupt(capfd):
    def interrupted(error):
        raise error

    assert run_command(lambda: interrupted(KeyboardInterrupt())) == 130
    assert run_command(lambda: interrupted(signals.Interrupted(signal.SIGHUP))) == 129
    assert capfd.readouterr().err == "stopped by SIGINT\nstopped by SIGHUP\n"


def test_importing_the_package_changes_no_signal():
    code = (
        "import signal; before = signal.getsignal(signal.SIGINT); import ddgan_jax; "
        "assert signal.getsignal(signal.SIGINT) is before"
    )
    env = os.environ | {"PYTHONPATH": str(runs.ROOT)}
    assert subprocess.run([sys.executable, "-c", code], env=env).returncode == 0
