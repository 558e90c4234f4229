"""The best checkpoint of a run, by its evaluations during training.

Which one is best follows from `evaluation.jsonl` and the saved steps alone. There is no other
record that a killed run could leave behind: the line of an evaluation is written before its
checkpoint, and the best checkpoint so far is deleted only after a better one was verified.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from ddgan_jax.core.errors import UserError
from ddgan_jax.io.read_json import read_lines
from ddgan_jax.io.storage import AnyPath

BEST: Literal["best"] = "best"
Step = int | Literal["best"] | None  # of a checkpoint; None: the last
Lines = Sequence[Mapping[str, float]]  # of evaluation.jsonl

ALLOWED = '"auto", "never", "lowest NAME" or "highest NAME" of a number in evaluation.jsonl'
_RULE = re.compile(r"(lowest|highest) (\S+)")


def is_rule(text: object) -> bool:
    """Whether a text is allowed as `config.eval.best`."""
    return isinstance(text, str) and (text in ("auto", "never") or bool(_RULE.fullmatch(text)))


def resolve(rule: str, names: Collection[str]) -> tuple[str, str] | None:
    """What a rule selects.

    Args:
      rule: `config.eval.best`. "auto" is the lowest Fréchet distance, of the first feature network.
      names: of the numbers of an evaluation, in order.

    Returns:
      ("lowest" or "highest", name of the number); None if the rule is "never", or names no number
      of the evaluation.
    """
    if rule == "auto":
        distances = (name for name in names if name == "fid" or name.startswith("frechet_"))
        return next((("lowest", name) for name in distances), None)
    match = _RULE.fullmatch(rule)
    return (match[1], match[2]) if match and match[2] in names else None


def best_step(lines: Lines, saved: Collection[int], rule: str) -> int | None:
    """The saved step with the best evaluation, the earliest of several.

    Args:
      lines: of evaluation.jsonl, in order. Evaluations of another number of samples than the last
        one are left out, because their distances do not compare.
      saved: steps of the checkpoints.
      rule: see `resolve`.

    Returns:
      The step; None if no checkpoint has been evaluated.
    """
    comparable = _comparable(lines)
    wanted = resolve(rule, dict.fromkeys(name for line in comparable for name in line))
    if not wanted:
        return None
    which, name = wanted
    sign = 1 if which == "lowest" else -1
    values = [(sign * line[name], int(line["step"])) for line in comparable if name in line]
    return min(((value, step) for value, step in values if step in saved), default=(0, None))[1]


def without_better(lines: Lines, rule: str) -> int:
    """The number of evaluations after the best one, see `best_step`; 0 if the rule names none."""
    steps = [int(line["step"]) for line in _comparable(lines)]
    best = best_step(lines, steps, rule)
    return 0 if best is None else sum(step > best for step in steps)


def best_in(workdir: AnyPath, saved: Collection[int], rule: str) -> int:
    """The step of the best checkpoint in a run folder.

    Raises:
      UserError: there is none.
    """
    path = workdir / "evaluation.jsonl"
    step = best_step(read_lines(path, workdir), saved, rule)
    if step is None:
        raise UserError(
            f"{workdir} has no best checkpoint: none was evaluated during training "
            f"(config.eval.every) with the number that config.eval.best={rule!r} asks for"
        )
    return step


def selection(workdir: AnyPath, rule: str) -> str:
    """How the best checkpoint of a run was chosen, in words, for reports.

    A number that the checkpoint was chosen by is lower than that of a checkpoint chosen beforehand.
    """
    lines = _comparable(read_lines(workdir / "evaluation.jsonl", workdir))
    wanted = resolve(rule, dict.fromkeys(name for line in lines for name in line))
    samples = f"{lines[-1]['samples']:,.0f} samples" if lines and "samples" in lines[-1] else ""
    how = " ".join(wanted or (rule,))
    return f"best of {len(lines)} evaluations by {how}" + (f" of {samples}" if samples else "")


def _comparable(lines: Lines) -> Lines:
    """The evaluations with the protocol of the last one: number of samples, reference, networks."""
    if not lines:
        return lines
    samples, protocol = lines[-1].get("samples"), lines[-1].get("protocol")
    alike = [line for line in lines if line.get("samples") == samples]
    # Lines of version 0.1.0 have no protocol.
    return [line for line in alike if line.get("protocol", protocol) == protocol]
