"""Signals that stop a command: ^C, SIGTERM, SIGHUP and SIGUSR1 end it with status 128 + number.

While the package is being imported a signal ends the process at once. Afterwards it raises
`Interrupted` in the main thread, so that temporary files are removed. An exception cannot be raised
while the main thread is in compiled code or imports a module; a thread that the system wakes up by
a pipe then ends the process after `GRACE_SECONDS`.
"""

import _thread
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

GRACE_SECONDS = 3.0  # for the main thread to come back from compiled code
CLEANUP_SECONDS = 10.0  # for what runs after the exception was raised

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class Interrupted(KeyboardInterrupt):
    """A signal was received; `number` is its number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _State:
    """What has happened to this process."""

    number = 0  # the first signal
    raised = False  # whether `Interrupted` was raised
    at_once = True  # whether a signal ends the process without an exception
    installed = False


def install() -> None:
    """Handle the signals of this process; those that it was told to ignore (nohup) stay ignored."""
    if _State.installed or threading.current_thread() is not threading.main_thread():
        return
    _State.installed = True
    for number in STOPPING:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _handle)
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(read_end,), daemon=True, name="signals").start()


def install_in_command() -> None:
    """`install`, if this process was started as a command of the package."""
    words = getattr(sys, "orig_argv", [])
    module = words[words.index("-m") + 1 :][:1] if "-m" in words else []
    by_module = sys.argv[:1] == ["-m"] and module and module[0].split(".")[0] == "ddgan_jax"
    if by_module or os.path.basename(sys.argv[0] if sys.argv else "") == "ddgan":
        install()


def received() -> int:
    """The number of the signal that was received; 0: none."""
    return _State.number


def raise_from_now_on(yes: bool) -> None:
    """Whether a signal raises `Interrupted`; otherwise it ends the process at once."""
    _State.at_once = not yes


def is_interrupt(error: BaseException | None) -> bool:
    """Whether a signal was the reason for an exception, which code in between may have replaced."""
    return isinstance(error, KeyboardInterrupt) or (error is not None and _State.number != 0)


def raise_again() -> None:
    """Note that the exception was lost, in a destructor for example; it is raised once more."""
    _State.raised = False


def settle() -> None:
    """Note that the command is ending because of a signal, so that it is not raised once more."""
    _State.raised = True


def status_of(error: BaseException) -> int:
    """The exit status for an interrupt."""
    return 128 + int(getattr(error, "number", 0) or _State.number or signal.SIGINT)


def describe(number: int) -> str:
    """The line about a signal."""
    return f"stopped by {signal.Signals(number).name}"


def _handle(number: int, frame: FrameType | None) -> None:
    again = _State.raised and number == signal.SIGINT
    _State.number = _State.number or number
    if _State.at_once or again:
        _end()
    if _importing(frame):
        return  # `_watch` tries again
    if not _State.raised:
        _State.raised = True
        raise Interrupted(_State.number)


def _importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported: an exception there can crash compiled modules."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _watch(read_end: int) -> None:
    """End the process if the main thread does not, once a signal has arrived."""
    while True:
        numbers = [n for n in os.read(read_end, 64) if _is_ours(n)]
        if numbers:
            _wait(numbers[0])


def _is_ours(number: int) -> bool:
    return number in STOPPING and signal.getsignal(number) is _handle


def _wait(number: int) -> None:
    began = time.monotonic()
    while time.monotonic() - began < (CLEANUP_SECONDS if _State.raised else GRACE_SECONDS):
        time.sleep(0.05)
        if not _State.raised and _is_ours(number):
            _thread.interrupt_main(signal.Signals(number))
    _State.number = _State.number or number
    _end()


def _end() -> NoReturn:
    line = describe(_State.number) + "\n"
    with contextlib.suppress(OSError):
        os.write(2, line.encode())
    os._exit(128 + _State.number)


@contextlib.contextmanager
def interrupts_wait() -> Iterator[None]:
    """Hold ^C back until the block has ended.

    Without it the exception can be raised between a call that donates its arguments and the
    assignment of the result, and both are lost.
    """
    handler = signal.getsignal(signal.SIGINT)
    on_main = threading.current_thread() is threading.main_thread()
    if not (on_main and callable(handler)):
        yield
        return
    received: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: received.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if received:
            handler(*received[0])


def lost(unraisable: Any) -> bool:
    """Whether an exception that Python could not raise was `Interrupted`; it is raised again."""
    if not isinstance(unraisable.exc_value, Interrupted):
        return False
    raise_again()
    return True
