"""Read the JSON files of run folders, with limits and checked fields.

A file may come from elsewhere or be damaged, so nothing in it is trusted: it has to be a regular
file inside its run folder, of bounded size and depth, UTF-8, and its fields have the right types.
"""

import json
import math
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from etils import epath

from ddgan_jax.core.errors import UserError
from ddgan_jax.io.storage import AnyPath, check_inside, is_remote

MAX_BYTES = 16 * 2**20  # of a JSON file
MAX_BYTES_OF_LINES = 2**30  # of a file that grows by a line now and then
MAX_DEPTH = 32
MAX_DIGITS = 40  # of an integer


class Kind(NamedTuple):
    """What the value of a field has to be.

    Attributes:
      words: for messages, such as "a text".
      holds: value -> whether it is one.
    """

    words: str
    holds: Callable[[Any], bool]


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_shape(value: Any) -> bool:
    sizes = isinstance(value, list) and 1 <= len(value) <= 4
    return sizes and all(_is_integer(n) and n > 0 for n in value) and math.prod(value) < 2**31


def _table_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(holds, value.values()))


NUMBER = Kind("a finite number", is_number)
COUNT = Kind("an integer >= 0", lambda value: _is_integer(value) and value >= 0)
POSITIVE = Kind("a positive, finite number", lambda value: is_number(value) and value > 0)
TEXT = Kind("a text", lambda value: isinstance(value, str))
TABLE = Kind("a table", lambda value: isinstance(value, dict))
TEXTS = Kind("a table of texts", _table_of(lambda value: isinstance(value, str)))
NAMES = Kind(
    "a list of texts",
    lambda value: isinstance(value, list) and all(isinstance(v, str) for v in value),
)
COUNTS = Kind("a table of integers >= 0", _table_of(COUNT.holds))
# A metric may be NaN or infinite.
NUMBERS = Kind(
    "a table of numbers",
    _table_of(lambda value: isinstance(value, float) or _is_integer(value)),
)
SHAPE = Kind("one to four positive integers with a product below 2^31", _is_shape)

Schema = Mapping[str, Kind]  # "section.field" -> kind


def read_text(path: AnyPath, folder: AnyPath | None = None, limit: int = MAX_BYTES) -> str:
    """Read a UTF-8 text file of bounded size; bytes that are not UTF-8 become U+FFFD.

    Args:
      path: the file.
      folder: the run folder that the file has to be in, also if it is a link; None: anywhere.
      limit: largest size in bytes.

    Raises:
      FileNotFoundError: there is no such file.
      UserError: not a regular file, a link out of the folder, too large, or unreadable.
    """
    return _read(path, folder, limit).decode("utf-8", "replace")


def _read(path: AnyPath, folder: AnyPath | None, limit: int) -> bytes:
    try:
        if is_remote(path):
            _check_size(path, epath.Path(path).stat().length, limit)
            content: bytes = path.read_bytes()
            _check_size(path, len(content), limit)
            return content
        if folder is not None:
            check_inside(path, folder)
        # Without O_NONBLOCK, opening a named pipe would wait for a writer.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as f:
            status = os.fstat(f.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UserError(f"{path} cannot be read: it is not a regular file")
            _check_size(path, status.st_size, limit)
            content = f.read(limit + 1)  # it may grow
            _check_size(path, len(content), limit)
            return content
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:  # below a file there is none
        raise FileNotFoundError(*error.args) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None


def _check_size(path: AnyPath, size: int, limit: int) -> None:
    if size > limit:
        raise UserError(
            f"{path} cannot be read: it has {size:,} bytes; at most {limit:,} are allowed"
        )


def read_json(
    path: AnyPath,
    required: Schema | None = None,
    optional: Schema | None = None,
    folder: AnyPath | None = None,
) -> dict[str, Any]:
    """Read a JSON file with a table, and check its fields.

    Args:
      path: the file.
      required: fields that have to be there, such as {"data.shape": SHAPE}.
      optional: fields that may be there.
      folder: the run folder that the file has to be in, also if it is a link; None: anywhere.

    Raises:
      FileNotFoundError: there is no such file.
      UserError: the file cannot be read or is damaged, or a field is missing or not allowed; the
        message names the file and the field.
    """
    content = _read(path, folder, MAX_BYTES)
    try:
        value = parse(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} cannot be read, it is damaged: byte {error.start} is not UTF-8"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read, it is damaged: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} cannot be read: it holds {_shown(value)}; a table is needed")
    for schema, needed in ((required or {}, True), (optional or {}, False)):
        for field, kind in schema.items():
            _check_field(path, value, field, kind, needed)
    return value


def _check_field(path: AnyPath, value: Any, field: str, kind: Kind, needed: bool) -> None:
    name = ""
    for key in field.split("."):
        if not isinstance(value, dict):
            raise UserError(f"{path}: {name} is {_shown(value)}; a table is needed")
        name = f"{name}.{key}" if name else key
        if key not in value:
            if needed:
                raise UserError(f"{path}: {name} is missing; {kind.words} is needed")
            return
        value = value[key]
    if not kind.holds(value):
        raise UserError(f"{path}: {field} is {_shown(value)}; {kind.words} is needed")


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def parse(text: str) -> Any:
    """Parse JSON of bounded depth and integers of bounded length.

    Raises:
      ValueError, RecursionError: the text is not JSON, or beyond the limits.
    """
    value = json.loads(text, parse_int=_integer)
    for item, depth in _walk(value):
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
        if isinstance(item, str) and ("\0" in item or not _is_unicode(item)):
            raise ValueError(f"a text is no valid Unicode: {json.dumps(item)[:60]}")
    return value


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number has {len(digits):,} digits")
    return int(digits)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _walk(value: Any) -> Iterator[tuple[Any, int]]:
    """All values and keys in a parsed value, with their depth; not recursive."""
    pending = [(value, 0)]
    while pending:
        item, depth = pending.pop()
        yield item, depth
        if depth > MAX_DEPTH:
            continue
        if isinstance(item, dict):
            pending += [(part, depth + 1) for pair in item.items() for part in pair]
        elif isinstance(item, list):
            pending += [(part, depth + 1) for part in item]


def read_lines(path: Path, folder: Path | None = None) -> list[dict[str, float]]:
    """Read the numbers of a JSONL file, one table with a "step" a line.

    Lines that are incomplete, as a killed run leaves them, or damaged are skipped, and so are
    values that are not finite numbers.

    Args:
      path: the file; without it the result is [].
      folder: see `read_text`.

    Raises:
      UserError: see `read_text`.
    """
    try:
        text = read_text(path, folder, MAX_BYTES_OF_LINES)
    except FileNotFoundError:
        return []
    return list(filter(None, map(_numbers, text.split("\n")[:-1])))


def _numbers(line: str) -> dict[str, float]:
    """The finite numbers of a line; {} if it has no step."""
    try:
        value = parse(line)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict) or not COUNT.holds(value.get("step")):
        return {}
    return {name: number for name, number in value.items() if is_number(number)}
