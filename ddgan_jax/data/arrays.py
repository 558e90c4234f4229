"""`from_arrays`: the images or points that a caller has in memory as a `Source`.

Data sets hold 8 bits per channel, so images of floats are rounded to 8 bits. Which range they have
is told by `value_range`, or by values that leave no doubt.
"""

from typing import Any

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.images import to_uint8
from ddgan_jax.data.source import Source, array_source

NAME = "images"  # of the source, in messages
_RANGES = ((0.0, 1.0), (-1.0, 1.0))


def from_arrays(
    images: Any, labels: Any = None, value_range: tuple[float, float] | None = None
) -> Source:
    """The examples in arrays as a source.

    Args:
      images: numpy or JAX array: images [N, H, W, C] or [N, H, W] with C 1 or 3, uint8 or floats;
        or float points [N, D], which are kept as float32.
      labels: integers [N]; None for data without labels.
      value_range: the range of images of floats, (-1, 1) or (0, 1). None: (-1, 1) if the smallest
        value is below -0.5, (0, 1) if it is 0; others are refused, since either may be meant.

    Raises:
      UserError: another dtype or shape, values that are out of range, not finite or of a range that
        is not known, or labels that do not match.
    """
    array = np.array(images)  # a copy: the caller may go on with the original
    is_float = array.dtype.kind == "f"
    if value_range is not None and (not is_float or array.ndim < 3):
        raise UserError(
            f"value_range is {value_range}; it is for images of floats, these are {array.dtype} "
            f"{array.shape}"
        )
    if is_float and array.ndim < 3:
        array = array.astype(np.float32)
    elif is_float and array.size:
        array = _eight_bits(array, value_range)
    return array_source(NAME, array, None if labels is None else np.array(labels))


def _eight_bits(images: np.ndarray, value_range: tuple[float, float] | None) -> np.ndarray:
    """Images of floats as uint8."""
    low, high = float(images.min()), float(images.max())
    found = f"{NAME} are {images.dtype} in [{low:.4g}, {high:.4g}]"
    if not np.isfinite([low, high]).all():
        raise UserError(f"{NAME} are {images.dtype} with NaN or infinity; finite values are needed")
    if low < -1 or high > 1:
        raise UserError(f"{found}; uint8, or floats in [-1, 1] or [0, 1], are needed")
    if value_range is None:
        if not (low == 0 or low < -0.5):
            raise UserError(
                f"{found}, which may be a part of [0, 1] or of [-1, 1]; value_range=(0, 1) or "
                "value_range=(-1, 1) is needed"
            )
        value_range = (0.0, 1.0) if low == 0 else (-1.0, 1.0)
    if tuple(value_range) not in _RANGES:
        raise UserError(f"value_range is {value_range}; (0, 1) or (-1, 1) is needed")
    if low < value_range[0]:
        raise UserError(f"{found}; value_range=(-1, 1), or values >= 0, are needed")
    images = images.astype(np.float32)
    return to_uint8(2 * images - 1 if value_range[0] == 0 else images)
