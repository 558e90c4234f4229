"""Fields that were set and have no effect beside the other fields of a config."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from ddgan_jax.config import flatten
from ddgan_jax.methods.registry import fields_of


class Rule(NamedTuple):
    """When some fields have no effect.

    Attributes:
      fields: dotted names.
      deciding: the fields that decide; those that the config lacks do not count.
      unused: value of a deciding field -> whether it needs none of `fields`. If that holds for all
        of them, `fields` have no effect.
    """

    fields: tuple[str, ...]
    deciding: tuple[str, ...]
    unused: Callable[[Any], bool]


def _zero(value: float) -> bool:
    return value == 0


RULES = (
    Rule(("data.fit",), ("data.image_size",), _zero),
    Rule(("ema_decay",), ("ema_half_life",), lambda images: images > 0),
    Rule(("latent_size",), ("noise",), lambda kind: kind == "image"),
    Rule(("reconstruction.weight",), ("reconstruction.kind",), lambda kind: kind == "none"),
    Rule(("reconstruction.delta",), ("reconstruction.kind",), lambda kind: kind != "weighted"),
    Rule(("r1.every",), ("r1.weight",), _zero),
    Rule(("r1.every",), ("r1.gamma", "r2.gamma"), _zero),
    Rule(("lazy.scaled", "lazy.own_step"), ("r1.gamma", "r2.gamma", "path_length.weight"), _zero),
    Rule(
        ("path_length.every", "path_length.decay", "path_length.share"),
        ("path_length.weight",),
        _zero,
    ),
)


def without_effect(config: ConfigDict) -> list[str]:
    """A line for each field that differs from its default and has no effect.

    Args:
      config: complete, valid config.
    """
    values: Mapping[str, Any] = flatten(config)
    declared, lines = fields_of(config), []
    for rule in RULES:
        deciding = [name for name in rule.deciding if name in declared]
        if not deciding or not all(rule.unused(values[name]) for name in deciding):
            continue
        reason = " and ".join(f"config.{name} = {values[name]!r}" for name in deciding)
        lines += [
            f"config.{name} = {values[name]!r} has no effect with {reason}"
            for name in rule.fields
            if name in declared and values[name] != declared[name].default
        ]
    return lines
