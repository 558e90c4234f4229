"""Data: `load_source` finds the examples that a config names, `batches` serves them forever."""

from collections.abc import Callable
from typing import Any

from ddgan_jax.config.plugins import lookup
from ddgan_jax.core.errors import UserError, nearest
from ddgan_jax.data.arrays import from_arrays
from ddgan_jax.data.digits import DIGITS, digits
from ddgan_jax.data.folder import FOLDER, check_apart
from ddgan_jax.data.gaussians import GAUSSIANS25, gaussians25
from ddgan_jax.data.hub import HUB
from ddgan_jax.data.images import Fit, check_fit
from ddgan_jax.data.labels import all_labels, check_labels
from ddgan_jax.data.npz import NPZ, npz
from ddgan_jax.data.pipeline import batch_function, batches
from ddgan_jax.data.source import Batch, DataKind, Request, Source, array_source
from ddgan_jax.data.stacked import STACKED_MNIST, STACKED_MNIST_BALANCED
from ddgan_jax.data.tfds_source import TFDS
from ddgan_jax.data.views import fitted, in_memory, select

__all__ = [
    "DATA",
    "Batch",
    "DataKind",
    "Request",
    "Source",
    "all_labels",
    "array_source",
    "as_configured",
    "batch_function",
    "batches",
    "check_apart",
    "check_labels",
    "data_shape",
    "digits",
    "from_arrays",
    "gaussians25",
    "load_source",
    "npz",
    "stored_source",
]

_WITH_THE_PACKAGE = (DIGITS, GAUSSIANS25)
DATA = {
    "digits": DIGITS,
    "gaussians25": GAUSSIANS25,
    "stacked_mnist": STACKED_MNIST,
    "stacked_mnist_balanced": STACKED_MNIST_BALANCED,
    "folder": FOLDER,
    "hf": HUB,
    "npz": NPZ,
    "tfds": TFDS,
}


def load_source(data: Any) -> Source:
    """Load the examples that the `data` section of a config names.

    Args:
      data: an object with the attributes
        `name`: `digits`, `gaussians25`, `stacked_mnist` or
          `stacked_mnist_balanced` (which need a prepared `tfds:mnist`),
          `folder:PATH`, `hf:NAME`, `npz:FILE`, `tfds:NAME` or `tfds:NAME/CONFIG`, or
          `module:attribute`, a `DataKind` of the user's own code (`module:attribute:ARGUMENT` if it
          takes an argument);
        `split`: `train`, `test`, a part such as `train[:90%]`, or a sum of those; an npz file has
          only `train`, and so has a folder without folders named like splits. Default: `train`;
        `dir`: the folder of prepared TFDS data sets. Default: "", which stands for $TFDS_DATA_DIR
          or ~/tensorflow_datasets;
        `image_size`: height and width of the images. Default: 0, as stored;
        `fit`: how images reach that size: `resize` (scale, crop the center) or `pad` (with black).
          Default: `resize`;
        `channels`: 1, 3, or 0 for as stored. Default: 0.

    Raises:
      UserError: an unknown name or split, data that are missing or damaged, or a field out of
        range.
    """
    kind, argument = _find(data.name)
    directory, fit = getattr(data, "dir", ""), _fit_of(data)
    return as_configured(data, lambda split: kind.load(Request(argument, split, directory, fit)))


def as_configured(data: Any, load: Callable[[str], Source]) -> Source:
    """The split of a source that a config names, in the size that it names.

    Args:
      data: see `load_source`; its `name` and `dir` are not used.
      load: name of a split, such as "train" -> all its examples.

    Raises:
      UserError: an unknown split, or a size that the data cannot have.
    """
    fit = _fit_of(data)
    return in_memory(fitted(select(getattr(data, "split", "train"), load), fit))


def _fit_of(data: Any) -> Fit:
    size, channels = getattr(data, "image_size", 0), getattr(data, "channels", 0)
    return check_fit(Fit(size, getattr(data, "fit", "resize"), channels))


def _find(name: Any) -> tuple[DataKind, str]:
    """The kind of data that `config.data.name` names, and its argument."""
    first, colon, argument = str(name).partition(":")
    forms = [f"{key}:{kind.argument}" if kind.argument else key for key, kind in DATA.items()]
    kind = DATA.get(first)
    if kind is None and colon:
        attribute, _, argument = argument.partition(":")
        try:
            return lookup("data.name", f"{first}:{attribute}", DATA, DataKind), argument
        except UserError as error:
            raise UserError(f"{error}{nearest(first, DATA)}") from error
    if kind is None:
        hint = nearest(first, DATA) or nearest(f"tfds:{name}", ["tfds:mnist", "tfds:cifar10"])
        raise UserError(
            f"config.data.name is {name!r}; {', '.join(forms)}, or 'module:attribute' of your own "
            f"code, is needed{hint}"
        )
    if bool(kind.argument) != bool(argument):
        form = f"{first}:{kind.argument}" if kind.argument else first
        raise UserError(f"config.data.name is {name!r}; {form} is needed")
    return kind, argument


def data_shape(data: Any) -> tuple[int, ...]:
    """The shape of one example: from the `data` part of a config if it says, else from the data.

    Raises:
      UserError: an unknown kind of data; or see `load_source`, if the data have to be read.
    """
    kind, _ = _find(data.name)
    if data.image_size and data.channels and kind not in _WITH_THE_PACKAGE:
        return (data.image_size, data.image_size, data.channels)
    return load_source(data).shape


def stored_source(data: Any) -> Source:
    """The examples that the `data` section of a config names, before its images are decoded.

    It says what `load_source` would, such as names of classes, in less time. Files of images are
    opened.

    Args:
      data: see `load_source`.

    Raises:
      UserError: see `load_source`.
    """
    kind, argument = _find(data.name)
    directory, fit = getattr(data, "dir", ""), _fit_of(data)
    split = getattr(data, "split", "train")
    return select(split, lambda name: kind.load(Request(argument, name, directory, fit)))
