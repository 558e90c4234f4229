"""Rows of Markdown tables."""


def row(*cells: object) -> str:
    """One row of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"


def header(*names: str) -> str:
    """The first two lines of a Markdown table."""
    return f"{row(*names)}\n|{'---|' * len(names)}"
