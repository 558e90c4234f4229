"""Images that a person gives to the page: files and drawings, brought to a model's shape."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.images import Fit, fit_image, open_image
from ddgan_jax.io.storage import open_regular

LARGEST_FILE = 32 * 2**20  # bytes
_LEAST_INK = 64  # of 255: what counts as ink where the extent of a drawing is measured


class Look(NamedTuple):
    """How the images of a model look, as far as a drawing has to look alike.

    Attributes:
      light: whether strokes are light on a dark ground.
      extent: larger side of what is drawn, as a share of the side of the image, in (0, 1].
    """

    light: bool = True
    extent: float = 1.0


def look_of(images: np.ndarray) -> Look:
    """The look of a model's images: the ground is what their borders show.

    Args:
      images: uint8 [N, H, W, C].
    """
    gray = images.astype(np.float32).mean(axis=-1)
    border = np.concatenate([gray[:, 0], gray[:, -1], gray[:, :, 0], gray[:, :, -1]], axis=1)
    ground = float(np.median(border))
    ink = np.abs(gray - ground) >= _LEAST_INK
    boxes = [_box(each) for each in ink if each.any()]
    sides = [max(bottom - top, right - left) for top, bottom, left, right in boxes]
    extent = float(np.median(sides)) / max(gray.shape[1:]) if sides else 1.0
    return Look(ground < 128, float(np.clip(extent, 0.3, 1)))


def _box(ink: np.ndarray) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of the true values of bool [H, W]; zeros if there are none."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        return 0, 0, 0, 0
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def drawn(layers: list[Any], shape: tuple[int, ...], look: Look) -> np.ndarray:
    """An image of the strokes of a drawing, with the size and place that the model's images have.

    Args:
      layers: uint8 [h, w, 4] each; what is opaque is ink, whatever its color.
      shape: (H, W, C) of the model's images.
      look: how they look.

    Returns:
      uint8 [H, W, C].

    Raises:
      UserError: nothing is drawn, or a layer has another shape.
    """
    from PIL import Image

    for layer in map(np.asarray, layers):
        if layer.ndim != 3 or layer.shape[2] != 4 or layer.dtype != np.uint8:
            raise UserError(
                f"the drawing has a layer {layer.dtype} {layer.shape}; uint8 [h, w, 4] is needed"
            )
    if not layers or not any(np.asarray(layer)[..., 3].any() for layer in layers):
        raise UserError("there is no image; draw one or choose a file")
    ink = np.max([np.asarray(layer)[..., 3] for layer in layers], axis=0)
    top, bottom, left, right = _box(ink > 0)
    part = Image.fromarray(ink[top:bottom, left:right])
    height, width = shape[:2]
    scale = look.extent * min(height, width) / max(part.size)
    size = max(round(part.width * scale), 1), max(round(part.height * scale), 1)
    canvas = Image.new("L", (width, height))
    corner = (width - size[0]) // 2, (height - size[1]) // 2
    canvas.paste(part.resize(size, Image.Resampling.BOX), corner)
    pixels = np.array(canvas, np.uint8)
    pixels = pixels if look.light else 255 - pixels
    return np.repeat(pixels[:, :, None], shape[2], axis=2)


def uploaded(path: Path, shape: tuple[int, ...], swap: bool = False) -> np.ndarray:
    """Read an image file and bring it to a model's shape: scaled, its center cropped.

    Args:
      path: the file, in a format of `data.images.FORMATS`.
      shape: (H, W, C) of the model's images.
      swap: exchange light and dark, such as for ink on paper and a model of light strokes.

    Returns:
      uint8 [H, W, C].

    Raises:
      UserError: no image, a damaged or too large one, or the model's images are not square.
    """
    height, width, channels = shape
    if height != width:
        raise UserError(f"images of this run are {height}x{width}; files need square ones")
    from PIL import ImageOps

    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise UserError(f"{path.name} has {size:,} bytes; at most {LARGEST_FILE:,} are allowed")
        with open_regular(path) as file, open_image(file, path.name) as image:
            smallest, largest = min(image.size), max(image.size)
            if smallest < height:
                raise UserError(
                    f"it is {image.height}x{image.width}; at least {height}x{width} is needed"
                )
            if largest > 8 * smallest:
                raise UserError(
                    f"it is {image.height}x{image.width}; sides that differ by a factor of at "
                    "most 8 are needed"
                )
            pixels = fit_image(ImageOps.exif_transpose(image), Fit(height, "resize", channels))
    except OSError as error:
        raise UserError(f"{path.name} cannot be read: {error.strerror or error}") from None
    return 255 - pixels if swap else pixels
