"""Data: `load_source` finds the examples that a config names, `batches` serves them for ever."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ddgan_jax.core.errors import UserError, nearest
from ddgan_jax.data.gaussians import gaussians25
from ddgan_jax.data.images import Fit, check_fit, fit_array
from ddgan_jax.data.pipeline import batch_at, batches
from ddgan_jax.data.source import Batch, Source, array_source
from ddgan_jax.data.splits import slice_of
from ddgan_jax.data.stacked import stacked_mnist
from ddgan_jax.data.tfds_source import prepared_source

__all__ = ["Batch", "Source", "array_source", "batch_at", "batches", "load_source"]

_DIGITS_TRAIN = 1500


def load_source(data: Any) -> Source:
    """The examples that the `data` part of a config asks for.

    Args:
      data: anything with the attributes
        `name`: `digits`, `gaussians25`, `stacked_mnist` (of a prepared `tfds:mnist`), `npz:PATH`,
          `tfds:NAME` or `tfds:NAME/CONFIG`;
        `split`: `train`, `test` or a part such as `train[:90%]` (an npz file has only `train`);
        `dir`: where TFDS data lies; '' is $TFDS_DATA_DIR or ~/tensorflow_datasets;
        `image_size`: height and width of the examples; 0 is as stored;
        `fit`: how they get there: `resize` (scale, crop the centre) or `pad` (with black);
        `channels`: 1, 3, or 0 for as stored.
        All but `name` may be missing: `train`, '', 0, `resize`, 0.

    Raises:
      UserError: an unknown name or split, data that is not there, a field out of range.
    """
    name = data.name
    split = getattr(data, "split", "train")
    how = check_fit(
        Fit(
            getattr(data, "image_size", 0),
            getattr(data, "fit", "resize"),
            getattr(data, "channels", 0),
        )
    )
    kind, colon, rest = name.partition(":")
    if kind == "tfds" and colon:
        return prepared_source(rest, split, getattr(data, "dir", ""), how)
    if kind == "npz" and colon:
        return _fitted(npz(rest, split), how)
    if name == "digits":
        return _fitted(digits(split), how)
    if name == "gaussians25":
        return _fitted(gaussians25(split), how)
    if name == "stacked_mnist":
        return stacked_mnist(split, getattr(data, "dir", ""), how)
    known = ["digits", "gaussians25", "stacked_mnist", "npz:PATH", "tfds:NAME"]
    hint = nearest(name, known) or nearest(f"tfds:{name}", ["tfds:mnist", "tfds:cifar10"])
    raise UserError(f"data.name={name!r}: allowed: {', '.join(known)}{hint}")


def digits(split: str = "train") -> Source:
    """1,797 handwritten digits, uint8 `[8, 8, 1]` in 0..255, that come with this package.

    `train` is the first 1,500, `test` the last 297. See DIGITS_LICENSE.md for their authors.

    Raises:
      UserError: an unknown split.
    """
    with np.load(Path(__file__).with_name("digits.npz")) as file:
        images, labels = file["images"], file["labels"]
    images = np.round(images * (255 / 16)).astype(np.uint8)
    sizes = {"train": _DIGITS_TRAIN, "test": len(images) - _DIGITS_TRAIN}
    name, part = slice_of(split, sizes)
    whole = slice(_DIGITS_TRAIN) if name == "train" else slice(_DIGITS_TRAIN, None)
    source = array_source("digits", images[whole][part], labels[whole][part])
    return source._replace(extractor="digits")


def npz(path: str, split: str = "train") -> Source:
    """The arrays `images` and (optional) `labels` of an npz file; see `array_source` for shapes.

    Raises:
      UserError: no such file, not an npz file, no `images`, or arrays that are not allowed.
    """
    name = f"npz:{path}"
    try:
        # Opened here, because numpy leaves a file open that turns out to be broken.
        with Path(path).expanduser().open("rb") as opened, np.load(opened) as file:
            arrays = {key: file[key] for key in ("images", "labels") if key in file}
    except FileNotFoundError:
        raise UserError(f"data.name={name!r}: there is no such file") from None
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"data.name={name!r}: not a readable npz file ({error})") from None
    if "images" not in arrays:
        raise UserError(f"data.name={name!r}: it has no array 'images'")
    source = array_source(name, **arrays)
    _, part = slice_of(split, {"train": source.size})
    indices = np.arange(source.size)[part]
    examples = source.take(indices)
    return array_source(name, examples["image"], examples["label"])


def _fitted(source: Source, how: Fit) -> Source:
    """The source with all its images brought to the shape that the config asks for."""
    if len(source.shape) != 3:
        if how.size or how.channels:
            raise UserError(
                f"data.image_size={how.size}, data.channels={how.channels}: {source.name} holds "
                f"points of shape {source.shape}; allowed: 0"
            )
        return source
    examples = source.take(np.arange(source.size))
    fitted = array_source(source.name, fit_array(examples["image"], how), examples["label"])
    return fitted._replace(extractor=source.extractor, modes=source.modes)
