"""Latents of models that invert: their shape, the check of given ones, the images on their way."""

import functools
import math
import numbers
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Array, Method, Params, Shape


def latent_shape(method: Method, params: Params, shape: Shape) -> Shape:
    """The shape of the latents of one image; (t_max, d_z) for DDDG.

    Args:
      method: a method that inverts.
      params: its parameters, or their shapes.
      shape: shape of one image.
    """
    assert method.inversion is not None
    images = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    labels = jax.ShapeDtypeStruct((1,), jnp.int32)
    latents: Shape = jax.eval_shape(method.inversion.encode, params, images, labels).shape[1:]
    return latents


def checked_latents(latents: Any, shape: Shape, count: int | None = None) -> np.ndarray:
    """Latents [N, *shape] as a numpy array.

    Args:
      latents: an array.
      shape: see `latent_shape`.
      count: the number N that is needed; None: any.

    Raises:
      UserError: another shape or number, a dtype that is no float, or numbers that are not finite.
    """
    found = np.asarray(latents)
    if found.shape[1:] != shape or not found.ndim or count not in (None, len(found)):
        needed = f"[{'N' if count is None else count}, {str(shape)[1:-1].rstrip(',')}]"
        raise UserError(f"latents have shape {found.shape}; {needed} is needed")
    if not jnp.issubdtype(found.dtype, jnp.floating):
        raise UserError(f"latents are {found.dtype}; floats are needed")
    if not (np.abs(found) <= np.finfo(np.float32).max).all():
        raise UserError("latents have numbers that are not finite; finite ones are needed")
    return found


def check_integer(name: str, value: Any, low: int, high: int | None = None) -> None:
    """Raise a UserError unless an argument is an integer from `low` to `high`."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        allowed = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise UserError(f"{name} is {value!r}; an integer {allowed} is needed")


def check_positive(name: str, value: Any) -> None:
    """Raise a UserError unless an argument is a positive, finite number."""
    if not isinstance(value, numbers.Real) or not 0 < float(value) < math.inf:
        raise UserError(f"{name} is {value!r}; a positive, finite number is needed")


@functools.lru_cache(maxsize=8)  # of the same function, which jax compiles once
def images_first(path: Callable[..., Any]) -> Callable[..., tuple[Array, ...]]:
    """`Inversion.path` with the images as the first axis of its results."""

    def images_first(params: Params, z: Array, y: Array) -> tuple[Array, ...]:
        return tuple(jnp.moveaxis(x, 0, 1) for x in path(params, z, y))

    return images_first
