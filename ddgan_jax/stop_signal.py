"""SIGTERM and ^C ask the loop to save and leave; they do not kill it."""

import signal
from typing import Any

import jax


class StopSignal:
    """Within the `with` block, remembers the first SIGTERM or SIGINT instead of dying of it."""

    number = 0

    def __enter__(self) -> "StopSignal":
        self._previous = {
            number: signal.signal(number, self._remember)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: Any) -> None:
        del frame
        self.number = self.number or number

    def requested(self, manager: Any, step: int) -> bool:
        """Whether to stop after `step`; the same answer in every process of a run."""
        if jax.process_count() == 1:
            return self.number != 0
        if manager.reached_preemption(step):
            self.number = self.number or signal.SIGTERM
            return True
        return False
