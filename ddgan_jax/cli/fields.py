"""List the fields of a config: default, what is allowed, meaning.

Those of every config:
  python -m ddgan_jax fields
With those of its method, optimizers and space, and its values:
  python -m ddgan_jax fields --config=configs/ddgan_digits.py
Any of them is changed by --config.FIELD=VALUE, in all commands that read a config.
"""

import argparse
import textwrap
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
    common.check_one_config(args)
    if not (args.config or args.workdir):
        from ddgan_jax.config.base import BASE_FIELDS

        _print(BASE_FIELDS, {})
        return 0
    config = common.read_config(args)
    from ddgan_jax.methods import fields_of

    fields, values = fields_of(config), flatten(config)
    _print(fields, values)
    for name, value in values.items():
        section, _, attribute = name.partition(".")
        network = values.get(f"{section}.network")
        if name not in fields and attribute != "network":
            _print_field(f"{name} = {value!r}", f"attribute of the network {network!r}")
        elif name not in fields:
            _print_field(f"{name} = {value!r}", "name of the network")
    return 0


def _print(fields: Mapping[str, Field], values: Mapping[str, Any]) -> None:
    """Print name and value of each field, then what is allowed and what it means."""
    for name, field in fields.items():
        value = values.get(name, field.default)
        if value is REQUIRED:
            head = f"{name}  (no default)"
        elif value == field.default:
            head = f"{name} = {value!r}"
        elif field.default is REQUIRED:
            head = f"{name} = {value!r}  (no default)"
        else:
            head = f"{name} = {value!r}  (default: {field.default!r})"
        _print_field(head, "; ".join(filter(None, (field.allowed.rstrip(","), field.help))))


def _print_field(head: str, text: str) -> None:
    print(head)
    print(textwrap.fill(text, width=100, initial_indent="    ", subsequent_indent="    "))
