"""Configs: fields and their checks, overrides from the command line."""

from ddgan_jax.config.base import LATER, adam, base, check, flatten, require, validate

__all__ = ["LATER", "adam", "base", "check", "flatten", "require", "validate"]
