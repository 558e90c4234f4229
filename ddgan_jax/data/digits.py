"""`digits`: 8x8 handwritten digits that come with the package."""

from pathlib import Path

import numpy as np

from ddgan_jax.data.source import DataKind, Request, Source, array_source
from ddgan_jax.data.splits import check_split
from ddgan_jax.data.views import select

_TRAIN = 1500  # the first examples; the other 297 are the test split


def digits(split: str = "train") -> Source:
    """1,797 handwritten digits, uint8 `[8, 8, 1]` in 0..255, with labels 0..9.

    DIGITS_LICENSE.md names their authors.

    Args:
      split: "train" (the first 1,500), "test" (the last 297), or a part such as "train[:90%]".

    Raises:
      UserError: another split.
    """
    return select(split, lambda name: _load(Request(split=name)))


def _load(request: Request) -> Source:
    check_split(request.split, ("train", "test"))
    with np.load(Path(__file__).with_name("digits.npz")) as file:
        images, labels = file["images"], file["labels"]
    images = np.round(images * (255 / 16)).astype(np.uint8)
    rows = slice(_TRAIN) if request.split == "train" else slice(_TRAIN, None)
    names = tuple("0123456789")
    return array_source("digits", images[rows], labels[rows], extractor="digits", classes=names)


DIGITS = DataKind(_load, about="1,797 handwritten digits of 8x8 pixels, in the package")
