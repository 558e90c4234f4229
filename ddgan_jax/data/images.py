"""Images of any size and mode: opened safely, and brought to the uint8 array of the config."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

WHITE = (255, 255, 255)

# Raster formats that Pillow decodes by itself and recognizes by their first bytes. EPS is left out
# because Pillow gives it to Ghostscript, which runs it as a program.
FORMATS = (
    "PNG",
    "JPEG",
    "MPO",
    "WEBP",
    "BMP",
    "TIFF",
    "GIF",
    "PPM",
    "AVIF",
    "JPEG2000",
    "QOI",
)
SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".bmp", ".tif", ".tiff"),
    *(".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".j2k", ".jpx", ".qoi"),
)


class Fit(NamedTuple):
    """How images reach their final shape.

    Attributes:
      size: height and width in pixels; 0 keeps both.
      fit: "resize" scales the shorter side to `size` and crops the center; "pad" puts the image in
        the center of a black square.
      channels: 1 (gray) or 3 (RGB); 0 keeps those of the image.
      background: RGB color in 0..255 that transparent pixels are composited on.
    """

    size: int = 0
    fit: str = "resize"
    channels: int = 0
    background: tuple[int, int, int] = WHITE


def check_fit(how: Fit) -> Fit:
    """Return `how` if all its fields have allowed values.

    Raises:
      UserError: a field has another value.
    """
    is_size = isinstance(how.size, int) and not isinstance(how.size, bool) and how.size >= 0
    if not is_size:
        raise UserError(
            f"config.data.image_size is {how.size!r}; 0 (as stored) or a positive integer is needed"
        )
    if how.fit not in ("resize", "pad"):
        raise UserError(f"config.data.fit is {how.fit!r}; 'resize' or 'pad' is needed")
    if how.channels not in (0, 1, 3):
        raise UserError(
            f"config.data.channels is {how.channels!r}; 0 (as stored), 1 or 3 is needed"
        )
    return how


@functools.cache
def _formats() -> tuple[str, ...]:
    """The formats that the installed Pillow reads."""
    from PIL import Image

    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@contextlib.contextmanager
def open_image(file: BinaryIO, what: str) -> Iterator[Image.Image]:
    """Open an image in one of `FORMATS`; the pixels are decoded when they are first used.

    Args:
      file: an open file.
      what: how to call the image in messages.

    Raises:
      UserError: the image is damaged, too large or in another format, noticed here or within the
        `with` block.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():  # above 89 megapixels; twice as many are an error
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(file, formats=_formats())
        with image:
            yield image
    except UserError as error:
        raise UserError(f"{what}: {error}") from None
    except Exception as error:  # Pillow raises many kinds for damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{what} is not a readable image ({reason})") from None


MOST_ELONGATED = 64  # the whole image is resized before it is cropped


def fit_image(image: Image.Image, how: Fit) -> np.ndarray:
    """Convert a Pillow image to uint8 `[H, W, C]`.

    Transparent pixels are composited on `how.background`. Images are scaled down by averaging over
    boxes, which does not alias, and up by bicubic interpolation.

    Raises:
      UserError: more than 8 bits per channel, sides that differ by more than a factor of
        `MOST_ELONGATED`, or padding to less than the size of the image.
    """
    from PIL import Image

    if image.mode[0] in "IF":  # 16 and 32 bits: Pillow would clip instead of scaling
        raise UserError(f"an image has mode {image.mode}; 8 bits per channel are needed")
    channels = how.channels or (1 if image.mode in ("1", "L", "LA", "La") else 3)
    image = _opaque(image, how.background)
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:
        image = image.convert(mode)

    width, height = image.size
    size = how.size
    if size and how.fit == "resize" and (width, height) != (size, size):
        short = min(width, height)
        if max(width, height) > MOST_ELONGATED * short:
            raise UserError(
                f"an image has {width}x{height} pixels; sides that differ by a factor of at most "
                f"{MOST_ELONGATED} are needed to resize and crop it"
            )
        method = Image.Resampling.BICUBIC if size > short else Image.Resampling.BOX
        width, height = round(width * size / short), round(height * size / short)
        image = image.resize((width, height), method)
        left, top = (width - size) // 2, (height - size) // 2
        image = image.crop((left, top, left + size, top + size))
    pixels = np.array(image, np.uint8)
    pixels = pixels.reshape(*pixels.shape[:2], channels)
    if not size or pixels.shape[:2] == (size, size):
        return pixels

    if width > size or height > size:
        raise UserError(
            f"config.data.image_size is {size} with config.data.fit='pad', and images are "
            f"{height}x{width}; their size or more, or config.data.fit='resize', is needed"
        )
    padded = np.zeros((size, size, channels), np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    padded[top : top + height, left : left + width] = pixels
    return padded


def read_upright(file: BinaryIO, what: str, how: Fit) -> np.ndarray:
    """Decode a photo as the camera was held, uint8 `[H, W, C]`; of an animation the first frame.

    JPEG files are decoded at a fraction of their size if that is at least twice the final size.

    Args:
      file: an open file.
      what: how to call the image in messages.
      how: the final shape.

    Raises:
      UserError: see `open_image` and `fit_image`.
    """
    from PIL import ImageOps

    with open_image(file, what) as image:
        if how.size and how.fit == "resize":
            image.draft(None, (2 * how.size, 2 * how.size))
        return fit_image(ImageOps.exif_transpose(image), how)


def _opaque(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """The image without its alpha channel or transparent color, composited on `background`."""
    from PIL import Image

    if not image.has_transparency_data:
        return image
    rgba = image.convert("RGBA")
    canvas = Image.new("RGB", image.size, background)
    canvas.paste(rgba.convert("RGB"), mask=rgba.getchannel("A"))
    return canvas


def enlarges(height: int, width: int, how: Fit) -> bool:
    """Whether `fit_image` scales images of this size up."""
    return how.fit == "resize" and how.size > min(height, width)


def enlargement_notes(height: int, width: int, how: Fit) -> tuple[str, ...]:
    """One line that says that images of this size are scaled up; nothing if they are not."""
    if not enlarges(height, width, how):
        return ()
    return (
        f"images of {height}x{width} are enlarged to {how.size}x{how.size} by bicubic "
        "interpolation; config.data.fit='pad' keeps their pixels",
    )


def fit_array(images: np.ndarray, how: Fit) -> np.ndarray:
    """Apply `fit_image` to a stack of images.

    Args:
      images: uint8 `[N, H, W, C]`.
      how: the final shape.

    Returns:
      uint8 `[N, H', W', C']`; `images` itself if they have that shape already.

    Raises:
      UserError: see `fit_image`.
    """
    same_size = not how.size or images.shape[1:3] == (how.size, how.size)
    if same_size and how.channels in (0, images.shape[-1]):
        return images
    from PIL import Image

    gray = images.shape[-1] == 1
    flat = images[..., 0] if gray else images
    return np.stack([fit_image(Image.fromarray(image), how) for image in flat])
