"""The one exception that a user may meet: printed as a single line, without a traceback."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can mend. The message is one line: what, its value, what is allowed."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the closest known word, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
