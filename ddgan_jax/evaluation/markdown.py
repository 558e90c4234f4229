"""Markdown of reports: tables and code whose text cannot become markup."""

import html
import re

from ddgan_jax.evaluation.ranking import Cells, Table


def printable(value: str) -> str:
    """Text that can be printed: control characters and bytes that are not UTF-8 become "?"."""
    return "".join(c if c.isprintable() else "?" for c in value)


def escaped(text: str) -> str:
    """Text for Markdown: no HTML, no link, no end of a cell."""
    shown = html.escape(printable(text), quote=False)
    return "".join(f"\\{c}" if c in "|`[]*$\\" else c for c in shown)


def code(text: str) -> str:
    """Text as code in Markdown, whatever backticks it has."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest else f"`{text}`"


def table(rows: Table, best: Cells = frozenset()) -> str:
    """A Markdown table.

    Args:
      rows: the header first.
      best: cells that are set in bold.
    """
    shown = [
        [f"**{escaped(c)}**" if (i, j) in best else escaped(c) for j, c in enumerate(row)]
        for i, row in enumerate(rows)
    ]
    lines = [shown[0], ["---"] * len(shown[0]), *shown[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def text_table(rows: Table) -> str:
    """The same table for the terminal."""
    return "\n".join("| " + " | ".join(map(printable, row)) + " |" for row in rows)
