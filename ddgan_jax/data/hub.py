"""`hf:NAME`: image data sets of the Hugging Face Hub, read with the package `datasets`."""

import io
from typing import Any, BinaryIO

import numpy as np

from ddgan_jax.core.errors import UserError, described
from ddgan_jax.data.encoded import Encoded, encoded_source
from ddgan_jax.data.images import Fit
from ddgan_jax.data.source import DataKind, Request, Source, as_labels

OLDEST = 4  # version of the package; earlier ones run code that comes with data sets


def hub_source(name: str, split: str, how: Fit) -> Source:
    """The images and labels of a data set of the Hub, decoded whenever they are read.

    The package downloads the data set into its cache, or takes it from there. Only bytes are taken
    from it; images are decoded as those of `folder:PATH`.

    Args:
      name: NAME or OWNER/NAME, with :CONFIG if the data set has several.
      split: name of a split.
      how: the size and number of channels that images are brought to.

    Returns:
      Examples `{"image": uint8 [n, H, W, C], "label": int32 [n]}`; label 0 where there are no
      classes.

    Raises:
      UserError: the package is missing or older than version 4, it cannot load the data set, or
        the data set has not one column of images.
    """
    field = f"config.data.name is {f'hf:{name}'!r}"
    datasets = _package(field)
    path, _, config = name.partition(":")
    try:
        table = datasets.load_dataset(path, config or None, split=split)
    except Exception as error:  # dozens of kinds: network, names, splits, formats
        raise UserError(
            f"{field}; split {split!r} cannot be loaded ({described(error)[:200]})"
        ) from None
    key = _column(table.features, datasets.Image, "image", field)
    if key is None:
        raise UserError(f"{field}; it has no column of images: {', '.join(table.features)}")
    label = _column(table.features, datasets.ClassLabel, "label", field)
    classes = tuple(map(str, table.features[label].names)) if label else ()
    given = table[label] if label else [0] * len(table)
    if None in given:
        raise UserError(f"{field}; example {list(given).index(None)} has no label")
    labels = np.array(given, np.int64)
    if not len(labels):
        raise UserError(f"{field}; split {split!r} has no examples")

    table = table.select_columns([key]).cast_column(key, datasets.Image(decode=False))

    def opened(index: int) -> BinaryIO:
        content = table[index][key]["bytes"]
        if content is None:
            raise UserError(f"{field}; example {index} holds no image, but the name of a file")
        return io.BytesIO(content)

    images = Encoded(as_labels(name, labels), opened, lambda index: f"{field}; example {index}")
    summary = f"{len(labels):,} images of column {key!r}, split {split!r}"
    if classes:
        summary += f", {len(classes):,} classes of column {label!r}"
    return encoded_source(f"hf:{name}", images, how, classes=classes, summary=summary)


def _package(field: str) -> Any:
    """The package `datasets`.

    Raises:
      UserError: it is not installed, or of an old version.
    """
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"{field}; the package datasets is needed: pip install 'ddgan_jax[hf]'"
        ) from None
    version = str(datasets.__version__)
    major = version.split(".")[0]
    if not major.isdecimal() or int(major) < OLDEST:
        raise UserError(
            f"{field}; datasets {version} may run code of a data set, and version {OLDEST} or "
            "later is needed: pip install --upgrade 'ddgan_jax[hf]'"
        )
    return datasets


def _column(features: Any, kind: type, preferred: str, field: str) -> str | None:
    """The column of a kind: `preferred`, or the only one; None if there is none.

    Raises:
      UserError: there are several images. Several kinds of classes are not used.
    """
    found = [name for name, feature in features.items() if isinstance(feature, kind)]
    if preferred in found or len(found) == 1:
        return preferred if preferred in found else found[0]
    if found and preferred == "image":
        raise UserError(f"{field}; it has several columns of images: {', '.join(found)}")
    return None


def _load(request: Request) -> Source:
    return hub_source(request.argument, request.split, request.fit)


HUB = DataKind(_load, "NAME[:CONFIG]", "an image data set of the Hugging Face Hub (extra hf)")
