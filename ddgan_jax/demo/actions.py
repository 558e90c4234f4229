"""What the buttons of the page compute: functions of a model and of what a person chose."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.images import to_float, to_uint8
from ddgan_jax.inference.model import Model
from ddgan_jax.inference.sample import MOST_COLUMNS, Wanted, draw
from ddgan_jax.metrics.reconstruction import psnr
from ddgan_jax.plotting.grids import picture

MOST_IMAGES = 256  # on the page at once


def usual_count(classes: int) -> int:
    """How many samples a page shows at first: 64, or whole rows with a column for each class."""
    return 64 // classes * classes if 0 < classes <= MOST_COLUMNS else 64


def sample_picture(model: Model, wanted: Wanted) -> np.ndarray:
    """A picture of samples, those that the command `sample` draws with the same numbers.

    Args:
      model: a model that samples.
      wanted: which samples; at most `MOST_IMAGES`.

    Returns:
      uint8 [height, width, 3].

    Raises:
      UserError: more than `MOST_IMAGES`, or see `Model.sample`.
    """
    if wanted.count > MOST_IMAGES:
        raise UserError(f"the number of images is {wanted.count}; up to {MOST_IMAGES} are allowed")
    in_turn = wanted.label is None and 0 < model.classes <= MOST_COLUMNS
    columns = model.classes if in_turn and wanted.count >= model.classes else 0
    return picture(draw(model, wanted)["images"], columns)


class Inverted(NamedTuple):
    """An image, its latents, and what they decode to.

    Attributes:
      image: uint8 [H, W, C].
      label: its class, given or found; 0 for an unconditional model.
      found: whether the class was found, because none was given.
      latents: float32 [1, ...], refined if that was asked for.
      encoded: uint8 [H, W, C], the reconstruction from the latents of the encoder.
      refined: uint8 [H, W, C], the one from refined latents; None without refinement.
      decibels: PSNR of the two reconstructions, or of the one.
    """

    image: np.ndarray
    label: int
    found: bool
    latents: np.ndarray
    encoded: np.ndarray
    refined: np.ndarray | None
    decibels: tuple[float, ...]


def nearest_class(model: Model, image: np.ndarray) -> int:
    """The class with which encoding and decoding changes an image the least.

    Args:
      model: a class-conditional model that inverts.
      image: uint8 [H, W, C].
    """
    labels = np.arange(model.classes, dtype=np.int32)
    images = np.repeat(image[None], model.classes, axis=0)
    rebuilt = model.decode(model.encode(images, labels), labels)
    errors = np.square(rebuilt - to_float(images)).reshape(model.classes, -1).mean(axis=1)
    return int(np.argmin(errors))


def invert(model: Model, image: np.ndarray, label: int | None = None, steps: int = 0) -> Inverted:
    """Map an image to latents by the encoder, and refine them.

    Args:
      model: a model that inverts.
      image: uint8 [H, W, C].
      label: its class; None: `nearest_class`.
      steps: steps of gradient descent on the latents.

    Raises:
      UserError: the model does not invert, the image has another shape, or the class is none of
        the model's.
    """
    found = label is None and model.classes > 0
    known = nearest_class(model, image) if found else label or 0
    labels = np.full(1, known, np.int32) if model.classes else None
    images = image[None]
    latents = model.encode(images, labels)
    rebuilt = [model.decode(latents, labels)]
    if steps:
        latents = model.refine(images, latents, labels, steps)
        rebuilt.append(model.decode(latents, labels))
    return Inverted(
        image,
        known,
        found,
        latents,
        to_uint8(rebuilt[0][0]),
        to_uint8(rebuilt[1][0]) if steps else None,
        tuple(float(psnr(to_float(images), each)[0]) for each in rebuilt),
    )


def every_class(model: Model, inverted: Inverted) -> np.ndarray:
    """The latents of an image decoded as each class, uint8 [classes, H, W, C].

    Raises:
      UserError: the model has no classes.
    """
    if not model.classes:
        raise UserError("this run has no classes to change")
    labels = np.arange(model.classes, dtype=np.int32)
    latents = np.repeat(inverted.latents, model.classes, axis=0)
    return to_uint8(model.decode(latents, labels))


def classes_between(model: Model, first: Inverted, second: Inverted) -> tuple[int, ...]:
    """The classes that images between two are decoded as: those of the two; () without classes."""
    return tuple(dict.fromkeys((first.label, second.label))) if model.classes else ()


def mixed(model: Model, first: Inverted, second: Inverted) -> np.ndarray:
    """Images with the latents of the first times of one image and the later ones of another.

    Args:
      model: a model whose latents are [N, t_max, d_z].
      first, second: the two images.

    Returns:
      uint8 [rows, t_max + 1, H, W, C]: a row for each of `classes_between`, or one. Column k has
      the latents of times 0..k-1 of the first image and those of times k..t_max-1 of the second.

    Raises:
      UserError: the latents have no times.
    """
    one, other = first.latents, second.latents
    if one.ndim != 3:
        raise UserError("latents of this run have no times; [t_max, d_z] is needed to mix")
    share = np.arange(one.shape[1] + 1)[:, None, None]
    latents = np.where(np.arange(one.shape[1])[None, :, None] < share, one, other)
    return _as_each(model, latents, classes_between(model, first, second))


def between(model: Model, first: Inverted, second: Inverted, steps: int) -> np.ndarray:
    """Images on the straight line between the latents of two images.

    Args:
      model: a model that inverts.
      first, second: the ends.
      steps: number of images, both ends included.

    Returns:
      uint8 [rows, steps, H, W, C]: a row for each of `classes_between`, or one.

    Raises:
      UserError: `steps` is below 2.
    """
    labels = classes_between(model, first, second) or (None,)
    rows = []
    for label in labels:
        one = None if label is None else np.full(1, label, np.int32)
        rows.append(model.interpolate(first.latents, second.latents, one, steps)[0])
    return to_uint8(np.stack(rows))


def _as_each(model: Model, latents: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """Decode latents [K, ...] as each class: uint8 [rows, K, H, W, C]."""
    labels: list[np.ndarray | None] = [np.full(len(latents), c, np.int32) for c in classes]
    labels = labels or [None]
    return to_uint8(np.stack([model.decode(latents, each) for each in labels]))
