"""From an image of any size and mode to the uint8 array that the config asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError

if TYPE_CHECKING:
    from PIL import Image


class Fit(NamedTuple):
    """How images reach their final shape.

    Fields:
      size: height and width; 0 keeps both as they are.
      fit: `resize` (scale the short side, crop the centre) or `pad` (centre in black).
      channels: 1 (grey) or 3 (RGB); 0 keeps them as stored.
    """

    size: int = 0
    fit: str = "resize"
    channels: int = 0


def check_fit(how: Fit) -> Fit:
    """Returns `how` unchanged.

    Raises:
      UserError: one of its fields has a value that is not allowed.
    """
    if not isinstance(how.size, int) or how.size < 0:
        raise UserError(f"data.image_size={how.size!r}: allowed: 0 (as stored) or a positive size")
    if how.fit not in ("resize", "pad"):
        raise UserError(f"data.fit={how.fit!r}: allowed: 'resize', 'pad'")
    if how.channels not in (0, 1, 3):
        raise UserError(f"data.channels={how.channels!r}: allowed: 0 (as stored), 1, 3")
    return how


def fit_image(image: Image.Image, how: Fit) -> np.ndarray:
    """A Pillow image to uint8 `[H, W, C]`.

    Scaling averages over boxes, so that shrinking does not alias.

    Raises:
      UserError: more than 8 bits a channel, or `pad` to less than the size of the image.
    """
    from PIL import Image

    if image.mode[0] in "IF":  # 16 and 32 bits: Pillow would clip instead of scaling
        raise UserError(f"an image of mode {image.mode}: allowed: 8 bits a channel")
    channels = how.channels or (1 if image.mode in ("1", "L") else 3)
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:
        image = image.convert(mode)

    width, height = image.size
    size = how.size
    if size and how.fit == "resize" and (width, height) != (size, size):
        short = min(width, height)
        width, height = round(width * size / short), round(height * size / short)
        image = image.resize((width, height), Image.Resampling.BOX)
        left, top = (width - size) // 2, (height - size) // 2
        image = image.crop((left, top, left + size, top + size))
    pixels = np.array(image, np.uint8)
    pixels = pixels.reshape(*pixels.shape[:2], channels)
    if not size or pixels.shape[:2] == (size, size):
        return pixels

    if width > size or height > size:
        raise UserError(
            f"data.image_size={size} with data.fit='pad': images are {height}x{width}; "
            "allowed: their size or more, or data.fit='resize'"
        )
    padded = np.zeros((size, size, channels), np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    padded[top : top + height, left : left + width] = pixels
    return padded


def fit_array(images: np.ndarray, how: Fit) -> np.ndarray:
    """The same for a stack: uint8 `[N, H, W, C]` to uint8 `[N, H', W', C']`; untouched if it fits.

    Raises:
      UserError: as `fit_image`.
    """
    same_size = not how.size or images.shape[1:3] == (how.size, how.size)
    if same_size and how.channels in (0, images.shape[-1]):
        return images
    from PIL import Image

    grey = images.shape[-1] == 1
    flat = images[..., 0] if grey else images
    return np.stack([fit_image(Image.fromarray(image), how) for image in flat])
