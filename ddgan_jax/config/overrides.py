"""Configs from the command line: `--config=FILE[:VARIANT]` and `--config.FIELD=VALUE`.

The text of an override is converted to the type that the field has in the config file.
"""

import runpy
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ddgan_jax.config import plugins
from ddgan_jax.config.fields import flatten
from ddgan_jax.config.packaged import packaged
from ddgan_jax.core.errors import UserError, described, nearest
from ddgan_jax.io.storage import local_path

_DEEPEST = 20  # sections in one another


def load_config_file(spec: str) -> ConfigDict:
    """Run a config file and return its config.

    The folder of a file of the user becomes importable: for the file itself, and for fields of the
    form "module:attribute" (see `plugins`).

    Args:
      spec: "FILE.py" or the name of a config of the package; with ":VARIANT" appended,
        `get_config("VARIANT")` is called.

    Returns:
      The result of `get_config()`.

    Raises:
      UserError: there is no such file, it raises an exception, or it returns something else.
    """
    given, colon, variant = spec.partition(":")
    name = str(_find_file(spec, given))
    try:
        get_config = runpy.run_path(name).get("get_config")
        if get_config is None:
            raise UserError("it defines no get_config()")
        config = get_config(*[variant] * bool(colon))
    except UserError as error:
        raise UserError(f"--config={spec}: {error}") from error
    except (Exception, SystemExit) as error:
        where = _line_in(name, error)
        raise UserError(f"--config={spec} fails{where}: {described(error)}") from error
    if not isinstance(config, ConfigDict):
        raise UserError(
            f"--config={spec}: get_config() returns {type(config).__name__}; ConfigDict is needed"
        )
    sections, depth = [config], 0
    while sections:
        depth += 1
        if depth > _DEEPEST:
            raise UserError(f"--config={spec}: its sections nest deeper than {_DEEPEST}")
        inner = (value for section in sections for value in section.values())
        sections = [value for value in inner if isinstance(value, ConfigDict)]
    return config


def _find_file(spec: str, given: str) -> Path:
    """The config file that `given`, the part of --config before the variant, names."""
    path, known = local_path(given), packaged()
    if path.is_file():
        plugins.check_source(f"--config={spec}", path)
        plugins.allow(path.parent)
        return path
    if given in known:
        return known[given]
    if path.stem in known:
        hint = f"; --config={path.stem} is a config of the package"
    else:
        hint = (
            nearest(path.stem, known) or "; python -m ddgan_jax configs lists those of the package"
        )
    raise UserError(f"--config={spec}: there is no file {str(path)!r}{hint}")


def _line_in(name: str, error: BaseException) -> str:
    """The last line of the file `name` in the traceback, as " in line 7"; "" if there is none."""
    lines, trace = [], error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == name:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f" in line {lines[-1]}" if lines else ""


# What people call a field -> its name, or the end of it.
SYNONYMS = {
    **dict.fromkeys(("lr", "rate"), "learning_rate"),
    **dict.fromkeys(("steps", "iterations", "epochs"), "train.duration"),
    **dict.fromkeys(("batch", "bs", "batchsize"), "train.batch_size"),
    **dict.fromkeys(("size", "resolution"), "data.image_size"),
    **dict.fromkeys(("dataset", "data_name"), "data.name"),
    "ema": "ema_decay",
    "r1": "r1.gamma",
}


def meant(word: str, fields: Iterable[str]) -> list[str]:
    """The fields that `word` may stand for: by `SYNONYMS`, by the end of their names."""
    wanted = SYNONYMS.get(word.rpartition(".")[2].lower(), word)
    return [name for name in fields if name == wanted or name.endswith(f".{wanted}")]


def override(
    config: ConfigDict, changes: Mapping[str, str], elsewhere: Callable[[str], str] = lambda _: ""
) -> ConfigDict:
    """A copy of a config with some fields changed.

    Args:
      config: the config.
      changes: dotted name of a field -> text of its new value.
      elsewhere: name of a field that the config lacks -> a hint at configs that have it, or "".

    Raises:
      UserError: the config has no such field, or the text does not convert to the field's type.
    """
    config = ConfigDict(config.to_dict())
    known = flatten(config)
    for field, text in changes.items():
        if field not in known:
            inner = [name for name in known if name.startswith(f"{field}.")]
            others = " or ".join(map(repr, meant(field, known)))
            hint = (
                (inner and f"; it has {', '.join(inner)}")
                or elsewhere(field)
                or (others and f"; did you mean {others}?")
                or nearest(field, known)
            )
            raise UserError(f"config.{field} is no field of this config{hint}")
        *parents, last = field.split(".")
        section = config
        for parent in parents:
            section = section[parent]
        section[last] = _parsed(field, text, known[field])
    return config


def _parsed(field: str, text: str, old: Any) -> Any:
    """`text` converted to the type of `old`; see `_like` for items of an empty tuple."""
    if isinstance(old, tuple | list):
        items = [item.strip() for item in text.strip("()[] ").split(",") if item.strip()]
        return tuple(_parsed(field, item, old[0] if old else _like(item)) for item in items)
    kind, allowed = type(old), f"text like {old!r}"
    try:
        if kind is bool:
            allowed = "true or false"
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        if kind is int:
            allowed = "an integer"
            return int(text)
        if kind is float:
            allowed = "a number"
            return float(text)
        if kind is str:
            return text
    except (ValueError, KeyError):
        pass
    raise UserError(f"config.{field} is {text!r}; {allowed} is needed")


def as_overrides(config: ConfigDict, width: int = 100) -> list[str]:
    """All fields of a config as "FIELD=VALUE", what `--config.FIELD=VALUE` would set.

    Args:
      config: the config.
      width: longest line, unless one field needs more.

    Returns:
      Lines of fields with a space between two, a new one for every section.
    """

    def text(value: Any) -> str:
        if isinstance(value, tuple | list):
            return ",".join(map(text, value))
        return str(value).lower() if isinstance(value, bool) else str(value)

    sections: dict[str, list[str]] = {}
    for name, value in sorted(flatten(config).items(), key=lambda field: field[0]):
        section = name.rpartition(".")[0]
        sections.setdefault(section, []).append(f"{name}={shlex.quote(text(value))}")
    fields = (sections[section] for section in sorted(sections))
    return [line for some in fields for line in _wrapped(some, width)]


def _wrapped(words: Iterable[str], width: int) -> list[str]:
    """`words` in lines of at most `width` characters, none of them broken."""
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _like(item: str) -> int | float | str:
    """`item` as an integer or a number if it reads as one, else as text."""
    for kind in (int, float):
        try:
            return kind(item)
        except ValueError:
            pass
    return item
