"""Checks of what callers of a `Model` give it."""

import numbers
from collections.abc import Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError

FARTHEST = 1.5  # from 0 of the pixels of float images; samples may lie a little beyond 1


def check_draw(key: Any, count: Any, batch_size: Any) -> None:
    """Check what samples are drawn from.

    Raises:
      UserError: `key` is no typed PRNG key, or not one for each sample; `count` or `batch_size` is
        no positive integer.
    """
    sizes = {"count": count, "batch_size": 1 if batch_size is None else batch_size}
    for name, value in sizes.items():
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
            raise UserError(f"{name} is {value!r}; a positive integer is needed")
    if not (isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key)):
        raise UserError("key is not a typed PRNG key; jax.random.key(SEED) is needed")
    if key.ndim and key.shape != (count,):
        raise UserError(f"key has shape {key.shape}; one key, or keys [{count}], are needed")


def checked_images(images: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Images [N, *shape] as a numpy array.

    Raises:
      UserError: another shape, a dtype that is neither uint8 nor a float, or floats that are not
        finite or not within `FARTHEST` of 0.
    """
    try:
        found = np.asarray(images)
    except ValueError:
        raise UserError("images have different shapes; an array of them is needed") from None
    if found.ndim != 4 or found.shape[1:] != shape:
        raise UserError(f"images have shape {found.shape}; [N, {str(shape)[1:-1]}] is needed")
    if found.dtype == np.uint8:
        return found
    is_float = found.dtype.kind == "f"
    largest = np.abs(found).max(initial=0) if is_float else np.inf
    if not largest <= FARTHEST:  # or NaN
        what = f"{found.dtype} up to {largest:g}" if is_float else f"{found.dtype}"
        raise UserError(f"images are {what}; uint8, or floats in [-1, 1], are needed")
    return found


def check_load(config: Any, devices: Sequence[Any] | None) -> None:
    """Raise a UserError unless `config` and `devices` are what `load` takes."""
    if not (config is None or isinstance(config, ConfigDict)):
        raise UserError(f"config is {config!r:.60}; a ConfigDict, or None, is needed")
    several = isinstance(devices, Collection) and len(devices) > 0
    if devices is not None and not (several and all(isinstance(d, jax.Device) for d in devices)):
        raise UserError(f"devices is {devices!r}; some of jax.devices(), or None, is needed")
