"""Split specifications such as `train[:90%]+test`, with the syntax and rounding of TFDS."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from ddgan_jax.core.errors import UserError

_NUMBER = r"-?\d+(?:\.\d+)?%|-?\d+"
_PART = re.compile(rf"([\w-]+)(?:\[({_NUMBER})?:({_NUMBER})?\])?")


class Part(NamedTuple):
    """One term of a split specification.

    Attributes:
      spec: the whole term, such as "train[:90%]".
      name: name of the split.
      start, stop: text of the first position and of the one after the last ("10", "-5", "90%");
        None for the ends of the split.
    """

    spec: str
    name: str
    start: str | None = None
    stop: str | None = None


def parse(spec: str) -> list[Part]:
    """The terms of a specification: `train`, `train[:90%]`, `test[10:20]`, `train+test`.

    Raises:
      UserError: another syntax.
    """
    parts = []
    for term in re.split(r"\s*\+\s*", str(spec)):
        match = _PART.fullmatch(term)
        if match is None:
            raise UserError(
                f"config.data.split is {spec!r}; the name of a split, a part such as "
                "train[:90%], or a sum of those is needed"
            )
        parts.append(Part(term, match[1], match[2], match[3]))
    return parts


def check_split(name: str, known: Iterable[str]) -> None:
    """Check that the data have a split of this name.

    Raises:
      UserError: they have not.
    """
    names = list(known)
    if name not in names:
        raise UserError(
            f"config.data.split is {name!r}; {' or '.join(names)}, or a part such as "
            f"{names[0] if names else 'train'}[:90%], is needed"
        )


def positions(part: Part, total: int) -> slice:
    """The examples of a term: a slice with 0 <= start < stop <= total.

    Percentages are rounded to the closest example, halves to even ones, as TFDS does.

    Args:
      part: a term of the specification.
      total: number of examples of the split.

    Raises:
      UserError: positions outside of the split, or no examples.
    """

    def position(text: str | None, default: int) -> int:
        if text is None:
            return default
        share = text.endswith("%")
        number = float(text[:-1]) * total / 100 if share else int(text)
        if not -total <= number <= total:
            raise UserError(
                f"config.data.split is {part.spec!r}; positions within the {total} examples of "
                f"{part.name!r} are needed"
            )
        number = round(number)
        return number + total if number < 0 else number

    start, stop = position(part.start, 0), position(part.stop, total)
    if start >= stop:
        raise UserError(
            f"config.data.split is {part.spec!r}, which selects none of the {total} examples of "
            f"{part.name!r}; at least one is needed"
        )
    return slice(start, stop)
