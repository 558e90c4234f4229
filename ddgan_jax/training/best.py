"""`Best`: what the evaluations of a run so far say, the same on all processes."""

from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict

from ddgan_jax.io.best import best_step, resolve
from ddgan_jax.io.read_json import read_lines
from ddgan_jax.parallel.distributed import broadcast_from_zero
from ddgan_jax.training.metrics_log import MetricsLog, evaluation_line


class Best:
    """Which of the saved steps has the best evaluation, the same on all processes.

    Args:
      config: complete config.
      log: the log of process 0, None on the others.
    """

    def __init__(self, config: ConfigDict, log: MetricsLog | None) -> None:
        self._rule, self._log = config.eval.best, log

    def of(self, steps: Sequence[int]) -> int | None:
        """The best of the steps; None if none was evaluated (collective)."""
        steps = sorted(set(steps))
        lines = read_lines(self._log.evaluations) if self._log else []
        found = best_step(lines, steps, self._rule)
        index = broadcast_from_zero(-1 if found is None else steps.index(found))
        return None if index < 0 else steps[int(index)]

    def line(self, step: int, found: Mapping[str, float], improved: bool) -> str:
        """The line of an evaluation, with what it means for the best checkpoint."""
        line = evaluation_line(step, found)
        if improved:
            return f"{line}  (best so far, kept)"
        if self._rule in ("auto", "never") or resolve(self._rule, found):
            return line
        return f"{line}  (warning: config.eval.best={self._rule!r} is none of these numbers)"
