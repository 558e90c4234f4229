"""Exit statuses, and the one error handler of all commands."""

import contextlib
import enum
import os
import select
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ddgan_jax
from ddgan_jax.core import signals
from ddgan_jax.core.errors import UserError, described
from ddgan_jax.io.orbax_logs import HeldRecords


class Status(enum.IntEnum):
    """Exit statuses of all commands, each with its `meaning`."""

    meaning: str

    DONE = 0, "done"
    MISTAKE = 1, "a mistake, reported in one line"
    BUG = 70, "an internal error, reported in one line that names a file with the details"
    LOST = 75, "another process of the run is gone; the same command continues the run"
    HANGUP = 129, "terminated by SIGHUP; training saves first, as for ^C"
    INTERRUPTED = 130, "interrupted by ^C; training saves first, and the same command continues it"
    WATCHDOG = 134, "as 75, if jax noticed it first"
    USER = 138, "terminated by SIGUSR1; training saves first, as for ^C"
    CLOSED = 141, "the program that reads the output has closed it (| head)"
    TERMINATED = 143, "terminated by SIGTERM; training saves first, as for ^C"

    def __new__(cls, value: int, meaning: str) -> "Status":
        """Attach the meaning to the integer."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


_LONGEST_LINE = 1000  # characters; the middle of a longer one is left out

_OUT_OF_MEMORY = (
    "out of device memory; a smaller config.train.batch_size, a larger config.train.accumulate, "
    "config.train.fsdp=true on several devices or config.gen.remat=true is needed"
)


def run_command(
    command: Callable[[], int], *, process_ends: bool = False, debug: bool = False
) -> int:
    """Call `command` and report its failures, each in one line on stderr.

    Args:
      command: does the work; returns the exit status.
      process_ends: whether the process ends afterwards.
      debug: whether the traceback of an internal error is printed too.

    Returns:
      The exit status, see `Status`.
    """
    with HeldRecords() as held:
        try:
            return command()
        except SystemExit as done:  # --help, --version
            return int(done.code or 0)
        except BaseException as error:
            if signals.is_interrupt(error):
                signals.settle()
                held.drop_if(lambda _: True)
                held.process_ends = process_ends
                number = signals.status_of(error) - 128
                _report(signals.describe(number))
                return 128 + number
            if not isinstance(error, Exception):
                raise
            if closed_output(error):
                held.process_ends = process_ends
                return Status.CLOSED
            status, line = _described(error)
            held.drop_reported_by(error)
            if status == Status.LOST:  # threads that waited for that process say so as well
                held.drop_if(_is_loss)
            if status == Status.BUG:
                line = bug_line(error, held.take())
                if debug:
                    traceback.print_exception(error)
            held.process_ends = process_ends
            _report(_shortened("error: " + " ".join(line.split())))
            return status


def _shortened(line: str) -> str:
    """A line without its middle if it is long, because of a value of thousands of characters."""
    if len(line) <= _LONGEST_LINE:
        return line
    return f"{line[: _LONGEST_LINE // 2]} ... {line[-_LONGEST_LINE // 2 :]}"


def _report(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # stderr is closed
        print(line, file=sys.stderr, flush=True)


def closed_output(error: BaseException) -> bool:
    """Whether the program that reads the output of this command has closed it, as `head` does."""
    broken = any(isinstance(link, BrokenPipeError) for link in _chain(error))
    return broken and any(map(_has_no_reader, (1, 2)))


def _has_no_reader(descriptor: int) -> bool:
    poll = select.poll()
    try:
        poll.register(descriptor, select.POLLOUT)
        return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
    except OSError:
        return False


def bug_line(error: BaseException, details: Sequence[str] = ()) -> str:
    """The line about an exception that is a bug; its traceback is written to a temporary file.

    Args:
      error: the exception.
      details: what libraries logged about it.
    """
    text = [
        f"command: {sys.argv}",
        f"ddgan_jax {ddgan_jax.__version__}, python {sys.version}, jax {_version_of('jax')}",
        "".join(traceback.format_exception(error)),
        *details,
    ]
    name = described(error)[:200]
    try:
        with tempfile.NamedTemporaryFile(
            "w",
            encoding="utf-8",
            errors="backslashreplace",
            prefix="ddgan_jax_error_",
            suffix=".txt",
            delete=False,
        ) as file:
            file.write("\n".join(text) + "\n")
    except OSError as failure:
        reason = failure.strerror or failure
        return (
            f"internal error: {name}; the details cannot be written ({reason}), --debug prints "
            "them; please report them"
        )
    return f"internal error: {name}; the details are in {file.name}, please report them"


def _version_of(package: str) -> str:
    return str(getattr(sys.modules.get(package), "__version__", "not imported"))


def report_in_threads() -> None:
    """Report exceptions that end a thread or a destructor in one line each, from now on."""

    def in_thread(failed: threading.ExceptHookArgs) -> None:
        if failed.exc_value is not None and not isinstance(failed.exc_value, SystemExit):
            _report("error: " + bug_line(failed.exc_value))

    def in_destructor(failed: Any) -> None:
        if failed.exc_value is not None:
            _report("warning: " + bug_line(failed.exc_value))

    threading.excepthook = in_thread
    sys.unraisablehook = in_destructor


def finished(status: int) -> int:
    """The exit status once the output is written, which can fail as everything else can."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except ValueError:  # closed by this process
        return status
    except OSError as error:
        if closed_output(error):
            return status or Status.CLOSED
        _report(f"error: the output cannot be written: {error.strerror or error}")
        return status or Status.MISTAKE
    return status


def _described(error: Exception) -> tuple[Status, str]:
    """The exit status and the line for the user; status `BUG` and no line if it is a bug."""
    if _is_loss(error):
        cause = error.__cause__ or error
        reason = " ".join(str(cause).split())[:120]
        return Status.LOST, (
            "another process of this run is gone; the last checkpoint is kept, the same command "
            f"on all hosts continues from it ({reason})"
        )
    if isinstance(error, UserError):
        return Status.MISTAKE, str(error)
    if line := _no_devices(error):
        return Status.MISTAKE, line
    if isinstance(error, OSError):  # full disk, lost permission, ...
        where = f": {os.fsdecode(error.filename)}" if error.filename else ""
        return Status.MISTAKE, f"{error.strerror or error}{where}"
    if isinstance(error, MemoryError):
        return Status.MISTAKE, f"out of memory: {error}" if str(error) else "out of memory"
    if _is_out_of_memory(error):
        return Status.MISTAKE, _OUT_OF_MEMORY
    return Status.BUG, ""


def _no_devices(error: BaseException) -> str:
    """The line about devices that jax cannot use; "" if the error is about something else."""
    if not any(map(_starts_backend, _chain(error))):
        return ""
    reason = " ".join(str(error).split()).partition(" (set JAX_PLATFORMS")[0][:200]
    asked = _platforms()
    if not asked:
        return f"jax finds no device that it can use: {reason}"
    return (
        f"JAX_PLATFORMS is {asked!r}; a platform that this installation of jax and this machine "
        f"have, such as cpu, or JAX_PLATFORMS= is needed{f' ({reason})' if reason else ''}"
    )


def _starts_backend(error: BaseException) -> bool:
    """Whether an exception comes from the function of jax that looks for devices."""
    trace = error.__traceback__
    while trace:
        code = trace.tb_frame.f_code
        if code.co_name == "backends" and code.co_filename.endswith("xla_bridge.py"):
            return True
        trace = trace.tb_next
    return False


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, and those that it was raised from or beside."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            waiting += [link.__cause__, link.__context__]


def _platforms() -> str:
    import jax

    return str(getattr(jax.config, "jax_platforms", None) or "")


def _is_loss(error: BaseException) -> bool:
    if "jax" not in sys.modules:
        return False
    from ddgan_jax.parallel.distributed import is_loss

    return is_loss(error)


def _is_out_of_memory(error: Exception) -> bool:
    if "jax" not in sys.modules:
        return False
    from jax.errors import JaxRuntimeError

    return isinstance(error, JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
