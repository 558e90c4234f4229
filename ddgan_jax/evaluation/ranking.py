"""The best values of tables: which numbers are better lower or higher, and where they are."""

import math
from collections.abc import Sequence

from ddgan_jax.evaluation import modes
from ddgan_jax.metrics import METRICS, reconstruction

Table = Sequence[Sequence[str]]  # rows of cells, the header first
Cells = frozenset[tuple[int, int]]  # (row, column), the header is row 0

_COST = {"NFE": "lower", "s / 100 samples": "lower"}  # columns that are no metrics


def direction(name: str) -> str:
    """Whether a number is better "lower" or "higher"; "" if neither is known.

    Args:
      name: of a number in evaluation.json or evaluation.jsonl.
    """
    known = modes.BETTER | reconstruction.BETTER
    for metric in METRICS.values():
        known |= metric.better
    found = [first for first in known if name == first or name.startswith(f"{first}_")]
    return known[max(found, key=len)] if found and "_std" not in name else ""


def best_cells(table: Table) -> Cells:
    """The cells with the best number of each column whose numbers differ.

    Cells that show the same number are equally good. Numbers that are not finite are no best ones.

    Args:
      table: columns of metrics have the name of the metric as header, with spaces or underscores.
    """
    header, *rows = table
    found: set[tuple[int, int]] = set()
    for column, name in enumerate(header):
        which = _COST.get(name) or direction(name.replace(" ", "_"))
        values = {i: value for i, row in enumerate(rows, 1) if (value := _number(row[column]))}
        numbers = [number for (number,) in values.values()]
        if not which or len(set(numbers)) < 2:
            continue
        best = min(numbers) if which == "lower" else max(numbers)
        found |= {(i, column) for i, (number,) in values.items() if number == best}
    return frozenset(found)


def _number(cell: str) -> tuple[float] | None:
    """The first word of a cell as a finite number; None if it is none."""
    try:
        number = float(cell.split()[0].replace(",", ""))
    except (ValueError, IndexError):
        return None
    return (number,) if math.isfinite(number) else None
