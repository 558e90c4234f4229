"""SIGTERM and ^C ask the loop to save and leave; they do not kill it."""

import signal
import threading
from types import FrameType
from typing import Any

import jax


class StopSignal:
    """Within the `with` block, remembers SIGTERM and SIGINT; a second SIGINT acts as ever."""

    number = 0

    def __enter__(self) -> "StopSignal":
        self._previous: dict[int, Any] = {}
        # With several processes SIGTERM is caught by jax, which tells all of them, and ^C kills.
        wanted = (signal.SIGINT, signal.SIGTERM) if jax.process_count() == 1 else ()
        if threading.current_thread() is threading.main_thread():  # only there Python allows it
            for number in wanted:
                self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.number == number == signal.SIGINT:  # ^C twice: not even this step is waited for
            raise KeyboardInterrupt
        self.number = self.number or number

    def requested(self, manager: Any, step: int) -> bool:
        """Whether to stop after `step`; the same answer in every process of a run."""
        if jax.process_count() == 1:
            return self.number != 0
        if manager.reached_preemption(step):
            self.number = self.number or signal.SIGTERM
            return True
        return False
