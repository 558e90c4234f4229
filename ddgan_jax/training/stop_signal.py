"""`StopSignal`: on SIGTERM or Ctrl-C, training saves a checkpoint before it ends."""

import signal
import threading
from types import FrameType
from typing import Any

import jax


class StopSignal:
    """Context manager that records SIGTERM and SIGINT instead of being interrupted by them.

    A second SIGINT raises KeyboardInterrupt at once.

    Attributes:
      number: the first signal that was received; 0: none.
    """

    number = 0

    def __enter__(self) -> "StopSignal":
        self._previous: dict[int, Any] = {}
        # With several processes jax handles SIGTERM and informs all of them, and SIGINT ends them.
        wanted = (signal.SIGINT, signal.SIGTERM) if jax.process_count() == 1 else ()
        if threading.current_thread() is threading.main_thread():  # Python allows no other
            for number in wanted:
                self._previous[number] = signal.signal(number, self._remember)
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
