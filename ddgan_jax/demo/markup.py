"""HTML of the page: pictures with captions, and one line for a mistake."""

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

STYLE = """<style>
.row-of-images { display: flex; flex-wrap: wrap; gap: .6rem; align-items: flex-start }
.row-of-images figure { width: 84px; text-align: center }
.row-of-images figure, .row-of-images img { margin: 0 !important }
.row-of-images img, .picture img { image-rendering: pixelated; max-width: 100%; display: block }
.row-of-images img { width: 84px }
.row-of-images figcaption { font-size: .8rem; line-height: 1.3; padding-top: .2rem;
                            margin: 0 !important }
.row-name { margin: .6rem 0 .3rem }
.mistake { border-left: 4px solid #b3261e; padding: .4rem .8rem; overflow-wrap: anywhere }
</style>"""


def png(pixels: np.ndarray) -> bytes:
    """A PNG file of uint8 [H, W, C] with C 1 or 3."""
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return file.getvalue()


def _image(pixels: np.ndarray, about: str) -> str:
    data = base64.b64encode(png(pixels)).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{html.escape(about)}">'


def picture(pixels: np.ndarray, about: str, note: str = "") -> str:
    """One picture.

    Args:
      pixels: uint8 [H, W, C].
      about: what it shows, for those who do not see it.
      note: a line below it.
    """
    below = f"<p>{html.escape(note)}</p>" if note else ""
    return f'<div class="picture">{_image(pixels, about)}{below}</div>'


def row(images: Sequence[np.ndarray], captions: Sequence[str], name: str = "") -> str:
    """Images side by side, each over its caption; they wrap where the page is narrow.

    Args:
      images: uint8 [H, W, C] each.
      captions: one for each.
      name: a line above them.
    """
    figures = "".join(
        f"<figure>{_image(image, caption or name)}"
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for image, caption in zip(images, captions, strict=True)
    )
    above = f'<p class="row-name">{html.escape(name)}</p>' if name else ""
    return f'{above}<div class="row-of-images">{figures}</div>'


def mistake(text: str) -> str:
    """One line about what a person can correct."""
    return f'<p class="mistake" role="alert">{html.escape(" ".join(text.split()))}</p>'
