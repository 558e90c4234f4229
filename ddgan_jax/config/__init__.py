"""Configs: declared fields, the base config, overrides, stored configs, plugins."""

from ddgan_jax.config.base import BASE_FIELDS, adam, adam_fields, base, steps_per_epoch, to_steps
from ddgan_jax.config.fields import REQUIRED, Field, Fields, check, check_fields, flatten, require
from ddgan_jax.config.plugins import lookup

__all__ = [
    "BASE_FIELDS",
    "REQUIRED",
    "Field",
    "Fields",
    "adam",
    "adam_fields",
    "base",
    "check",
    "check_fields",
    "flatten",
    "lookup",
    "require",
    "steps_per_epoch",
    "to_steps",
]
