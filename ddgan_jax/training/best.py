"""`Best`: what the evaluations of a run so far say, the same on all processes."""

import zlib
from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError
from ddgan_jax.io.best import best_step, resolve, without_better
from ddgan_jax.io.read_json import read_lines
from ddgan_jax.parallel.distributed import broadcast_from_zero
from ddgan_jax.training.metrics_log import MetricsLog, evaluation_line


def protocol_number(config: ConfigDict) -> int:
    """A number that tells evaluations apart: their reference, networks, noise and weights."""
    names = ("split", "extractors", "repeat_grey", "seed", "weights")
    return zlib.crc32(repr([config.eval[name] for name in names]).encode())


class Best:
    """Which of the saved steps has the best evaluation, the same on all processes.

    Args:
      config: complete config.
      log: the log of process 0, None on the others.
    """

    def __init__(self, config: ConfigDict, log: MetricsLog | None) -> None:
        self._rule, self._log = config.eval.best, log
        self._patience = config.eval.patience

    def of(self, steps: Sequence[int]) -> int | None:
        """The best of the steps; None if none was evaluated (collective)."""
        steps = sorted(set(steps))
        lines = read_lines(self._log.evaluations) if self._log else []
        found = best_step(lines, steps, self._rule)
        index = broadcast_from_zero(-1 if found is None else steps.index(found))
        return None if index < 0 else steps[int(index)]

    def evaluated(self, step: int) -> bool:
        """Whether a step has an evaluation (collective)."""
        lines = read_lines(self._log.evaluations) if self._log else []
        return broadcast_from_zero(float(any(line["step"] == step for line in lines))) > 0

    def ended(self) -> str:
        """Why training ends before its last step, as a line; "" if it goes on (collective).

        It follows from the lines of evaluation.jsonl alone, so a resumed run ends at the same step.
        """
        if not self._patience:
            return ""
        lines = read_lines(self._log.evaluations) if self._log else []
        count = int(broadcast_from_zero(without_better(lines, self._rule)))
        if count < self._patience:
            return ""
        return (
            f"{count} evaluations without a better one, config.eval.patience is {self._patience}; "
            "with a larger one, or 0, the same command continues"
        )

    def line(self, step: int, found: Mapping[str, float], improved: bool) -> str:
        """The line of an evaluation, with what it means for the best checkpoint.

        Raises:
          UserError: `config.eval.patience` waits for a number that the evaluation does not have.
        """
        line = evaluation_line(step, found)
        if self._patience and not resolve(self._rule, found):
            raise UserError(
                f"config.eval.patience is {self._patience}, and config.eval.best={self._rule!r} is "
                f"none of the numbers of an evaluation: {', '.join(found)}; 'lowest NAME' or "
                "'highest NAME' of one of them, or patience 0, is needed"
            )
        if improved:
            return f"{line}  (best so far, kept)"
        if self._rule in ("auto", "never") or resolve(self._rule, found):
            return line
        return f"{line}  (warning: config.eval.best={self._rule!r} is none of these numbers)"
