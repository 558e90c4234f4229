"""A `Source`: a named set of examples with random access. All training data is one."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError

Batch = dict[str, np.ndarray]


class Source(NamedTuple):
    """Examples that can be taken by index, in any order and from any thread.

    Fields:
      name: what the config calls it.
      size: number of examples.
      shape: of one example: `(H, W, C)` for images, `(D,)` for points.
      take: integer indices `[n]`, each in `0..size-1`, to
        `{"image": uint8 [n, H, W, C] or float32 [n, D], "label": int32 [n]}`.
      extractor: name of the feature network that evaluates samples of this data by default.
      modes: name of the function that counts the modes of this data which samples cover, where
        the modes are known; else "".
    """

    name: str
    size: int
    shape: tuple[int, ...]
    take: Callable[[np.ndarray], Batch]
    extractor: str = "inception"
    modes: str = ""


def array_source(name: str, images: np.ndarray, labels: np.ndarray | None = None) -> Source:
    """The source of arrays that are already in memory.

    Args:
      name: what to call it (errors repeat it).
      images: uint8 `[N, H, W, C]` or `[N, H, W]` with C 1 or 3, or finite float32 points `[N, D]`.
      labels: integers `[N]`; all zero where there are none.

    Raises:
      UserError: no examples, another dtype or rank, NaN or infinity, labels that do not match.
    """
    images = np.asarray(images)
    if images.dtype == np.uint8 and images.ndim == 3:
        images = images[..., None]
    is_image = images.dtype == np.uint8 and images.ndim == 4 and images.shape[-1] in (1, 3)
    is_points = images.dtype == np.float32 and images.ndim == 2
    if not (is_image or is_points):
        raise UserError(
            f"{name}: images are {images.dtype} {images.shape}; "
            "allowed: uint8 [N, H, W, 1 or 3], uint8 [N, H, W], float32 [N, D]"
        )
    if images.size == 0:
        raise UserError(f"{name}: images have shape {images.shape}: there is nothing to train on")
    if is_points and not np.isfinite(images).all():
        bad = int(np.argmin(np.isfinite(images).all(axis=1)))
        raise UserError(f"{name}: images contain NaN or infinity (first in example {bad})")

    size = len(images)
    labels = np.zeros(size, np.int32) if labels is None else np.asarray(labels)
    if labels.shape != (size,) or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(
            f"{name}: labels are {labels.dtype} {labels.shape}; allowed: integers ({size},)"
        )
    labels = labels.astype(np.int32)

    def take(indices: np.ndarray) -> Batch:
        return {"image": images[indices], "label": labels[indices]}

    return Source(name, size, images.shape[1:], take)
