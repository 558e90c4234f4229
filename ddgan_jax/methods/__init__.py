"""The methods, a file each, what they share, and the registry that names them in configs."""

from ddgan_jax.methods.entry import Length, MethodEntry, Penalties
from ddgan_jax.methods.registry import (
    METHODS,
    build_method,
    complete_config,
    fields_of,
    find_method,
    tracing,
    validate,
    with_field,
)

__all__ = [
    "METHODS",
    "Length",
    "MethodEntry",
    "Penalties",
    "build_method",
    "complete_config",
    "fields_of",
    "find_method",
    "tracing",
    "validate",
    "with_field",
]
