"""`Source`, a set of examples with random access, and `DataKind`, an entry of the registry."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.images import Fit

Batch = dict[str, np.ndarray]


class Source(NamedTuple):
    """Examples that can be read by index, in any order and from any thread.

    Attributes:
      name: name of the data set, used in messages.
      size: number of examples.
      shape: shape of one example: `(H, W, C)` of images, `(D,)` of points, `(h, w, c)` of latents.
      take: integer indices `[n]` in [0, size) -> `{"image": uint8 [n, H, W, C], or float32 [n, D]
        points or [n, h, w, c] latents; "label": int32 [n]}`.
      extractor: name of the default feature network for evaluation.
      modes: name of the known modes of the distribution ("gaussians25" or "stacked_mnist"), or "".
      classes: names of the classes in the order of the labels; empty if they are not known.
      labeled: whether the data have labels; if False, all labels are 0.
      labels: returns the labels of all examples, int32 `[size]`, without reading the images. If
        None, `labels.all_labels` reads them with `take`.
      in_memory: whether `take` only copies from arrays in memory.
      notes: what the user should know about how the data were read, one line each.
      contents: a hash of names and sizes of the files that `take` reads; "" if it reads none, or
        if they are known by other means.
    """

    name: str
    size: int
    shape: tuple[int, ...]
    take: Callable[[np.ndarray], Batch]
    extractor: str = "inception"
    modes: str = ""
    classes: tuple[str, ...] = ()
    labeled: bool = True
    labels: Callable[[], np.ndarray] | None = None
    in_memory: bool = False
    notes: tuple[str, ...] = ()
    contents: str = ""


class Request(NamedTuple):
    """What a data kind is asked to load.

    Attributes:
      argument: the text after "KIND:" in `config.data.name`.
      split: name of a split, such as "train", without a slice.
      directory: `config.data.dir`, the folder of prepared TFDS data sets; "" for the default.
      fit: the size and number of channels of the images. A kind may apply it while it decodes;
        `load_source` applies it to images that have another shape.
    """

    argument: str = ""
    split: str = "train"
    directory: str = ""
    fit: Fit = Fit()


class DataKind(NamedTuple):
    """A kind of data: an entry of the registry `ddgan_jax.data.DATA`.

    Attributes:
      load: reads all examples of one split. Raises UserError if it cannot.
      argument: what follows "KIND:" in `config.data.name`: "" for nothing, "FILE", or
        "NAME[/CONFIG]".
      about: one line that describes the data.
    """

    load: Callable[[Request], Source]
    argument: str = ""
    about: str = ""


def array_source(
    name: str,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    extractor: str = "inception",
    modes: str = "",
    classes: tuple[str, ...] = (),
) -> Source:
    """Make a `Source` from arrays in memory.

    Args:
      name: name of the data set, used in messages.
      images: uint8 `[N, H, W, C]` or `[N, H, W]` with C 1 or 3, or finite float32 points `[N, D]`.
      labels: integers `[N]`; None for data without labels.
      extractor, modes, classes: see `Source`.

    Raises:
      UserError: no examples, another dtype or rank, NaN or infinity, or labels that do not match.
    """
    images = np.asarray(images)
    if images.dtype == np.uint8 and images.ndim == 3:
        images = images[..., None]
    is_image = images.dtype == np.uint8 and images.ndim == 4 and images.shape[-1] in (1, 3)
    is_points = images.dtype == np.float32 and images.ndim == 2
    if not (is_image or is_points):
        raise UserError(
            f"{name}: images are {images.dtype} {images.shape}; "
            "uint8 [N, H, W, 1 or 3], uint8 [N, H, W] or float32 [N, D] is needed"
        )
    if images.size == 0:
        raise UserError(f"{name}: images have shape {images.shape}; at least one value is needed")
    if is_points and not np.isfinite(images).all():
        bad = int(np.argmin(np.isfinite(images).all(axis=1)))
        raise UserError(f"{name}: images contain NaN or infinity (first in example {bad})")

    size = len(images)
    labeled = labels is not None
    labels = np.zeros(size, np.int32) if labels is None else np.asarray(labels)
    if labels.shape != (size,) or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(
            f"{name}: labels are {labels.dtype} {labels.shape}; integers ({size},) are needed"
        )
    stored = as_labels(name, labels)

    def take(indices: np.ndarray) -> Batch:
        return {"image": images[indices], "label": stored[indices]}

    return Source(
        name=name,
        size=size,
        shape=images.shape[1:],
        take=take,
        extractor=extractor,
        modes=modes,
        classes=classes,
        labeled=labeled,
        labels=lambda: stored,
        in_memory=True,
    )


def as_labels(name: str, labels: np.ndarray) -> np.ndarray:
    """Integer labels as int32.

    Raises:
      UserError: a label that int32 cannot hold.
    """
    limits = np.iinfo(np.int32)
    wrong = (labels < limits.min) | (labels > limits.max)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise UserError(
            f"{name}: example {first} has label {labels[first]}; labels below 2^31 are needed"
        )
    return labels.astype(np.int32)
