"""`--config=FILE.py[:VARIANT]` and `--config.FIELD=VALUE`: text from the command line -> config.

An override has the type that the field has: the config file is the schema.
"""

import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from ddgan_jax.config import plugins
from ddgan_jax.config.fields import flatten
from ddgan_jax.core.errors import UserError, nearest


def load_config_file(spec: str) -> ConfigDict:
    """What `get_config()` of a config file returns, or `get_config(variant)`.

    Modules in the folder of the file can be imported, by the file and as "module:attribute" in its
    fields, see `plugins`.

    Raises:
      UserError: no such file, or it fails: it is a program of the user and may do anything.
    """
    name, colon, variant = spec.partition(":")
    if not Path(name).is_file():
        raise UserError(f"--config={spec}: there is no file {name!r}")
    plugins.allow(Path(name).parent)
    try:
        get_config = runpy.run_path(name).get("get_config")
        if get_config is None:
            raise UserError("it defines no get_config()")
        config = get_config(*[variant] * bool(colon))
    except UserError as error:
        raise UserError(f"--config={spec}: {error}") from error
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UserError(f"--config={spec} fails{_line_in(name, error)}: {reason}") from error
    if not isinstance(config, ConfigDict):
        raise UserError(
            f"--config={spec}: get_config() returns {type(config).__name__}; ConfigDict is needed"
        )
    return config


def _line_in(name: str, error: BaseException) -> str:
    """`" in line 7"` of the file `name`, where the error passed through it."""
    lines, trace = [], error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == name:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f" in line {lines[-1]}" if lines else ""


def override(config: ConfigDict, changes: Mapping[str, str]) -> ConfigDict:
    """A copy of `config` with the fields `{"a.b": text}` changed.

    Raises:
      UserError: an unknown field, or a text that is not of the field's type.
    """
    config = ConfigDict(config.to_dict())
    known = flatten(config)
    for field, text in changes.items():
        if field not in known:
            inner = [name for name in known if name.startswith(f"{field}.")]
            hint = f"; it has {', '.join(inner)}" if inner else nearest(field, known)
            raise UserError(f"config.{field} is no field of this config{hint}")
        *parents, last = field.split(".")
        section = config
        for parent in parents:
            section = section[parent]
        section[last] = _parsed(field, text, known[field])
    return config


def _parsed(field: str, text: str, old: Any) -> Any:
    if isinstance(old, tuple | list):
        items = [item.strip() for item in text.strip("()[] ").split(",") if item.strip()]
        return tuple(_parsed(field, item, old[0] if old else 0) for item in items)
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
