"""`encoded_source`: image files behind an index, opened once and decoded whenever they are read."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.images import Fit, enlarges, open_image, read_upright
from ddgan_jax.data.source import Batch, Source

_ORIENTATION = 0x0112  # tag of EXIF; values of 5 and more exchange height and width


class Encoded(NamedTuple):
    """Encoded images by their index.

    Attributes:
      labels: int32 `[N]`, 0 without classes.
      open: index -> the image as an open file. Raises UserError if it cannot.
      called: index -> what to call the image in messages.
    """

    labels: np.ndarray
    open: Callable[[int], BinaryIO]
    called: Callable[[int], str]


class _Header(NamedTuple):
    """What the first bytes of an image say."""

    height: int
    width: int
    gray: bool
    animated: bool


def encoded_source(
    name: str, images: Encoded, how: Fit, *, classes: tuple[str, ...] = (), summary: str = ""
) -> Source:
    """The images, each brought to its final shape by `images.read_upright`.

    Each image is opened once here, so that files that are no images are found before training.

    Args:
      name: name of the data set, `config.data.name`.
      images: the images.
      how: the size and number of channels that images are brought to. As many channels as stored
        are 1 if all images are gray, and else 3.
      classes: names of the classes; empty if there are no labels.
      summary: what was found, in one line, which begins the notes of the source.

    Raises:
      UserError: an image that is not readable, or images of several sizes without
        `config.data.image_size`.
    """

    def header(index: int) -> _Header:
        with images.open(index) as opened:
            return _header(opened, images.called(index), upright=not how.size)

    with ThreadPoolExecutor() as pool:
        headers = list(pool.map(header, range(len(images.labels))))
    channels = how.channels or (1 if all(found.gray for found in headers) else 3)
    height, width = (how.size, how.size) if how.size else headers[0][:2]
    for index, found in enumerate(headers if not how.size else ()):
        if found[:2] != (height, width):
            raise UserError(
                f"config.data.name is {name!r}, where {images.called(0)} has {height}x{width} "
                f"pixels and {images.called(index)} {found.height}x{found.width}; "
                "config.data.image_size, for example 64, is needed"
            )
    shape = (height, width, channels)

    def decoded(index: int) -> np.ndarray:
        with images.open(index) as opened:
            pixels = read_upright(opened, images.called(index), how._replace(channels=channels))
        if pixels.shape != shape:
            raise UserError(
                f"{images.called(index)} has shape {pixels.shape}, and {shape} is needed"
            )
        return pixels

    def take(indices: np.ndarray) -> Batch:
        chosen = np.asarray(indices)
        pixels = np.stack([decoded(int(index)) for index in chosen])
        return {"image": pixels, "label": images.labels[chosen]}

    counts = {
        f"enlarged to {how.size} pixels": sum(enlarges(h.height, h.width, how) for h in headers),
        "animated (first frame read)": sum(found.animated for found in headers),
    }
    notes = [f"{count:,} {note}" for note, count in counts.items() if count]
    return Source(
        name=name,
        size=len(images.labels),
        shape=shape,
        take=take,
        classes=classes,
        labeled=bool(classes),
        labels=lambda: images.labels,
        notes=("; ".join([summary, *notes]),),
    )


def _header(opened: BinaryIO, what: str, upright: bool) -> _Header:
    """Size and kind of an image; with `upright` the size as the camera was held."""
    with open_image(opened, what) as image:
        width, height = image.size
        if upright and image.getexif().get(_ORIENTATION) in (5, 6, 7, 8):  # turned by a quarter
            width, height = height, width
        gray = image.mode in ("1", "L", "LA", "La")
        moves = image.format != "MPO" and bool(getattr(image, "is_animated", False))
        return _Header(height, width, gray, moves)
