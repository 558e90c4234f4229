"""Slices such as `train[:90%]` for the data sets that TFDS does not read for us."""

import re

from ddgan_jax.core.errors import UserError

_SPLIT = re.compile(r"(\w+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?")


def slice_of(spec: str, sizes: dict[str, int]) -> tuple[str, slice]:
    """Reads a split as TFDS writes it: `train`, `train[:90%]`, `test[10:20]`, `train[-5%:]`.

    Args:
      spec: the text of the split.
      sizes: number of examples of every split there is.

    Returns:
      The name of the split and the (non-empty) slice of its examples.

    Raises:
      UserError: not of that form, no such split, or a slice without examples.
    """
    match = _SPLIT.fullmatch(spec)
    if not match or match[1] not in sizes:
        raise UserError(
            f"data.split={spec!r}: allowed here: {', '.join(sizes)}, or a part: train[:90%]"
        )
    name, total = match[1], sizes[match[1]]

    def position(text: str | None) -> int | None:
        if text is None:
            return None
        return round(total * int(text[:-1]) / 100) if text.endswith("%") else int(text)

    start, stop, _ = slice(position(match[2]), position(match[3])).indices(total)
    if start >= stop:
        raise UserError(f"data.split={spec!r} selects none of the {total} examples of {name!r}")
    return name, slice(start, stop)
