"""List the fields of a config: default, what is allowed, meaning.

Those of every config:
  python -m ddgan_jax fields
With those of its method, optimizers and space, and its values:
  python -m ddgan_jax fields --config=configs/ddgan_digits.py
Any of them is changed by --config.FIELD=VALUE, in all commands that read a config.
"""

import argparse
from collections.abc import Mapping
from typing import Any

from ddgan_jax.cli import common
from ddgan_jax.config.fields import REQUIRED, Field, flatten


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    common.add_config(parser, "none; the fields of every config")
    common.add_workdir(parser, "run folder, instead of --config")


def run(args: argparse.Namespace) -> int:
    """Print the fields; returns the exit status."""
    if not (args.config or args.workdir):
        from ddgan_jax.config.base import BASE_FIELDS

        _print(BASE_FIELDS, {})
        return 0
    config = common.read_config(args)
    from ddgan_jax.methods import fields_of

    fields, values = fields_of(config), flatten(config)
    _print(fields, values)
    for name, value in values.items():
        if name not in fields and name != "method":
            print(f"{name} = {value!r}\n    an attribute of the network")
    return 0


def _print(fields: Mapping[str, Field], values: Mapping[str, Any]) -> None:
    """Print name and value of each field, then what is allowed and what it means."""
    for name, field in fields.items():
        default = "no default" if field.default is REQUIRED else f"default: {field.default!r}"
        value = values.get(name, field.default)
        if value is REQUIRED:
            print(f"{name}  ({default})")
        else:
            print(f"{name} = {value!r}" + (f"  ({default})" if value != field.default else ""))
        print(f"    {field.allowed.rstrip(',')}{f'; {field.help}' if field.help else ''}")
