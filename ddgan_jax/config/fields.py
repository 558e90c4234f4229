"""`Field`: a declared setting of a config, with its default, its check and its meaning.

The base config, every method and every space declare fields as `{"section.name": Field}`. These
declarations give the default config (`defaults`), the fields that an older config lacks
(`complete`), validation (`check_fields`) and the output of `ddgan fields`.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError, nearest

REQUIRED: Any = object()  # default of a field that every config has to set


class Field(NamedTuple):
    """One setting of a config.

    Attributes:
      default: value in configs that do not set the field; `REQUIRED` if there is no default.
      accepts: value -> whether it is allowed.
      allowed: description of the allowed values, for "config.x is 0; <allowed> is needed".
      help: meaning of the field.
      may_change: whether a run may be resumed with another value.
    """

    default: Any
    accepts: Callable[[Any], bool]
    allowed: str
    help: str = ""
    may_change: bool = False


Fields = Mapping[str, Field]


def integer(default: Any, low: int = 1, high: int = 10**12, *, help: str = "") -> Field:
    """A field for an integer in [low, high]."""

    def accepts(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    allowed = {0: "an integer >= 0", 1: "a positive integer"}.get(low, f"an integer >= {low}")
    return Field(default, accepts, allowed + _at_most(high), help)


def number(
    default: Any,
    low: float = 0.0,
    high: float = 1e12,
    *,
    open_low: bool = False,
    open_high: bool = False,
    help: str = "",
) -> Field:
    """A field for a finite number in [low, high]; `open_low` and `open_high` exclude the ends."""

    def accepts(value: Any) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        above = value > low if open_low else value >= low
        below = value < high if open_high else value <= high
        return above and below and math.isfinite(value)

    if high <= 1:
        left, right = "(" if open_low else "[", ")" if open_high else "]"
        return Field(default, accepts, f"a number in {left}{low:g}, {high:g}{right}", help)
    if low == 0:
        allowed = "a positive number" if open_low else "a number >= 0"
    else:
        allowed = f"a number {'above' if open_low else '>='} {low:g}"
    return Field(default, accepts, allowed + _at_most(high), help)


def _at_most(high: float) -> str:
    return f" (at most {high:.12g})" if high < 1e12 else ""


def flag(default: Any, *, help: str = "") -> Field:
    """A field for true or false."""
    return Field(default, lambda value: isinstance(value, bool), "true or false", help)


def text(default: Any, *, help: str = "") -> Field:
    """A field for any text."""
    return Field(default, lambda value: isinstance(value, str), "text", help)


def choice(default: Any, *options: Any, help: str = "") -> Field:
    """A field for one of `options`, of the same type."""
    *first, last = map(repr, options)
    allowed = f"{', '.join(first)} or {last}" if first else last
    return Field(default, lambda v: type(v) in map(type, options) and v in options, allowed, help)


def numbers(default: Any, *, low: float = -1e12, help: str = "") -> Field:
    """A field for a tuple, possibly empty, of finite numbers of at least `low`."""
    one = number(0.0, low)

    def accepts(value: Any) -> bool:
        return isinstance(value, tuple | list) and all(map(one.accepts, value))

    least = f" >= {low:g}" if low > -1e12 else ""
    return Field(default, accepts, f"a tuple of numbers{least}", help)


def texts(default: Any, *, help: str = "") -> Field:
    """A field for a tuple of texts."""

    def accepts(value: Any) -> bool:
        return isinstance(value, tuple | list) and all(isinstance(v, str) for v in value)

    return Field(default, accepts, "a tuple of text", help)


MOST_STEPS = 10**12
_DURATION = re.compile(r"\s*([0-9.eE+-]+)\s*(steps?|epochs?|images?)\s*")
_DURATION_ALLOWED = (
    'a positive number of steps, epochs or images (at most 1e12), such as "5000 steps" or '
    '"20 epochs",'
)


def parse_duration(value: Any) -> tuple[float, str] | None:
    """Parse a duration: "20 epochs" -> (20.0, "epoch"); None if `value` is not a duration."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    try:
        amount = float(match.group(1)) if match else 0.0
    except ValueError:
        return None
    if not match or not 0 < amount <= MOST_STEPS:
        return None
    return amount, match.group(2).rstrip("s")


def duration(default: Any, *, never: bool = False, help: str = "") -> Field:
    """A field for a duration such as "20 epochs"; with `never`, also "never"."""

    def accepts(value: Any) -> bool:
        return parse_duration(value) is not None or (never and value == "never")

    return Field(default, accepts, _DURATION_ALLOWED + (' or "never",' if never else ""), help)


def changeable(fields: Fields) -> dict[str, Field]:
    """The same fields with `may_change=True`."""
    return {name: field._replace(may_change=True) for name, field in fields.items()}


def flatten(config: Mapping[str, Any] | ConfigDict, prefix: str = "") -> dict[str, Any]:
    """Flatten a nested config: {"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping | ConfigDict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flatten`: {"a.b": 1} -> {"a": {"b": 1}}."""
    result: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, last = name.split(".")
        section = result
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    return result


def defaults(fields: Fields) -> dict[str, Any]:
    """The defaults of `fields` as nested dictionaries, without required fields."""
    return nested({name: f.default for name, f in fields.items() if f.default is not REQUIRED})


def complete(config: ConfigDict, fields: Fields) -> ConfigDict:
    """A copy of `config` with the defaults of the fields that it lacks.

    Raises:
      UserError: a section of `fields` is a single value in `config`.
    """
    own = flatten(config)
    missing = {
        name: field.default
        for name, field in fields.items()
        if name not in own and field.default is not REQUIRED
    }
    result = config.to_dict()
    for name, value in missing.items():
        *parents, last = name.split(".")
        section = result
        for depth, parent in enumerate(parents, 1):
            section = section.setdefault(parent, {})
            if not isinstance(section, dict):
                path = ".".join(parents[:depth])
                raise UserError(f"config.{path} is {section!r}; a section with {name} is needed")
        section[last] = value
    return ConfigDict(result)


def check(config: Mapping[str, Any] | ConfigDict, field: str, ok: bool, allowed: str) -> None:
    """Raise a UserError unless `ok`.

    Args:
      config: the whole config.
      field: dotted name of the field.
      ok: whether its value is allowed.
      allowed: description of the allowed values, see `Field`.

    Raises:
      UserError: "config.<field> is <value>; <allowed> is needed".
    """
    if not ok:
        raise UserError(f"config.{field} is {flatten(config).get(field)!r}; {allowed} is needed")


def require(config: ConfigDict, fields: Iterable[str], why: str) -> None:
    """Raise a UserError for the first of `fields` that the config lacks.

    Args:
      config: the whole config.
      fields: dotted names.
      why: what needs the fields, such as "method 'ddgan'".
    """
    flat = flatten(config)
    for field in fields:
        if field not in flat:
            raise UserError(f"config.{field} is missing; {why} needs it{nearest(field, flat)}")


def check_fields(config: ConfigDict, fields: Fields, why: str) -> None:
    """Check that a config has all fields and that their values are allowed.

    Args:
      config: the whole config.
      fields: the fields to check.
      why: what needs the fields, such as "method 'ddgan'".

    Raises:
      UserError: names the first field that is missing or has a value that is not allowed.
    """
    require(config, fields, why)
    flat = flatten(config)
    for name, field in fields.items():
        check(config, name, field.accepts(flat[name]), field.allowed)
