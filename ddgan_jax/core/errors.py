"""`UserError`: what a user can correct, printed as a single line without a traceback."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator, Mapping


class UserError(Exception):
    """A mistake that the user can correct.

    The message is one line: the field, flag or file, its value, and what is allowed.
    """


@contextlib.contextmanager
def in_words_of(names: Mapping[str, str]) -> Iterator[None]:
    """Name fields in a `UserError` as the caller does: by flags, or fields of another section.

    Args:
      names: name in messages -> name that the user knows: {"config.data.name": "--samples"}.
    """
    try:
        yield
    except UserError as error:
        text = str(error)
        for name, known in names.items():
            text = text.replace(name, known)
        raise UserError(text) from error


def described(error: BaseException) -> str:
    """The class and the message of an exception in one line.

    Exceptions of other people's code may fail to print themselves; then it is the class alone.
    """
    try:
        message = " ".join(str(error).split())
    except Exception:
        message = ""
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def nearest(word: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the closest known word, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
