"""`StopSignal`: on ^C, SIGTERM, SIGHUP or SIGUSR1, training saves a checkpoint before it ends."""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

import jax

from ddgan_jax.core.signals import STOPPING
from ddgan_jax.parallel import distributed

T = TypeVar("T")


class Stopped(Exception):
    """A stop signal came while an action of `StopSignal.unless_stopped` was under way."""


class StopSignal:
    """Context manager that records stop signals instead of being interrupted by them.

    A second SIGINT raises KeyboardInterrupt at once. Signals that the process was told to ignore,
    such as SIGHUP under nohup, stay ignored.

    Attributes:
      number: the first signal that was received; 0: none.
    """

    number = 0

    def __enter__(self) -> "StopSignal":
        self._previous: dict[int, Any] = {}
        # With several processes jax handles SIGTERM and informs all of them, and SIGINT ends them.
        alone = jax.process_count() == 1
        handler = self._remember if alone else _as_sigterm
        wanted = STOPPING if alone else (signal.SIGHUP, signal.SIGUSR1)
        if threading.current_thread() is threading.main_thread():  # Python allows no other
            for number in wanted:
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, handler)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.number == number == signal.SIGINT:  # Ctrl-C twice: do not wait for the step
            raise KeyboardInterrupt
        self.number = self.number or number

    def requested(self, manager: Any, step: int) -> bool:
        """Whether to stop after a step. Collective: all processes get the same answer.

        Args:
          manager: orbax checkpoint manager, which knows of signals that other processes received.
          step: the step that was just done.
        """
        if jax.process_count() == 1:
            return self.number != 0
        if manager.reached_preemption(step):
            self.number = self.number or signal.SIGTERM
            return True
        return False

    def unless_stopped(self, action: Callable[[], T], together: bool = True) -> T:
        """The result of `action`, such as a compilation, which may take minutes.

        It runs in a thread, so that a signal is noticed meanwhile; the thread is then left alone.
        Several processes, all of which call this, stop together or not at all.

        Args:
          action: what to do.
          together: whether several processes can leave `action`, which then has no collectives;
            if not, they finish it.

        Raises:
          Stopped: a signal came before the end of `action`, to any process.
        """
        several = jax.process_count() > 1
        if (several and not together) or not (several or self._previous):
            return action()
        done = threading.Event()
        results: list[T] = []
        failures: list[BaseException] = []

        def work() -> None:
            try:
                results.append(action())
            except BaseException as error:
                failures.append(error)
            finally:
                done.set()

        threading.Thread(target=work, daemon=True, name="compile").start()
        stopped = False
        while not stopped and not done.wait(0.1):
            stopped = distributed.stop_noticed() if several else self.number != 0
        if several:
            stopped = not distributed.all_said_yes("compiled", not stopped)
            if stopped:
                self.number = self.number or signal.SIGTERM
                distributed.leave_compilation()
        if failures:
            raise failures[0]
        if stopped:
            raise Stopped
        return results[0]


def _as_sigterm(number: int, frame: FrameType | None) -> None:
    """Pass a signal on as the one that jax tells the other processes of."""
    del number, frame
    os.kill(os.getpid(), signal.SIGTERM)
