"""Feature networks with their weights, and their registry `EXTRACTORS`.

A feature network maps images to the features that metrics compare. LPIPS, a perceptual distance
between two images, is in this folder too.
"""

import re
from collections.abc import Callable
from pathlib import Path

import jax
from ml_collections import ConfigDict

from ddgan_jax.config.plugins import lookup
from ddgan_jax.core.types import PyTree
from ddgan_jax.features.classifier import DIGITS, MNIST, load_classifier
from ddgan_jax.features.extractor import Extracted, Extractor, ExtractorEntry
from ddgan_jax.features.inception import INCEPTION
from ddgan_jax.features.vgg16 import VGG16

__all__ = [
    "EXTRACTORS",
    "Extracted",
    "Extractor",
    "ExtractorEntry",
    "default_extractor",
    "extractor_shapes",
    "load_extractor",
]

EXTRACTORS: dict[str, ExtractorEntry] = {
    "inception": INCEPTION,
    "vgg16": VGG16,
    "mnist": MNIST,
    "digits": DIGITS,
}


def _entry(name: str) -> ExtractorEntry | None:
    """The entry of a registered name or "module:attribute"; None for the path of a file."""
    outside = re.fullmatch(r"[A-Za-z_][\w.]*:\w+", name) and not Path(name).exists()
    if name not in EXTRACTORS and not outside:
        return None
    return lookup("eval.extractors", name, EXTRACTORS, ExtractorEntry)


def load_extractor(name: str, settings: ConfigDict) -> Extractor:
    """Load a feature network.

    Args:
      name: a name in `EXTRACTORS`, "module:attribute" of an `ExtractorEntry` outside of the
        package, or the file of a classifier.
      settings: `config.eval`.

    Raises:
      UserError: an unknown name, or weights that are missing or damaged.
    """
    entry = _entry(name)
    return entry.load(settings) if entry else load_classifier(name)


def extractor_shapes(
    name: str, settings: ConfigDict
) -> tuple[Callable[..., Extracted], PyTree, int]:
    """A feature network to compile; its weights are read only if they are part of the package.

    Args:
      name, settings: see `load_extractor`.

    Returns:
      (`Extractor.apply`, shapes and dtypes of `Extractor.params`, channels of the images).

    Raises:
      UserError: see `load_extractor`.
    """
    entry = _entry(name)
    if entry and entry.shapes:
        return *entry.shapes(), entry.channels
    network = load_extractor(name, settings)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), network.params)
    return network.apply, shapes, network.channels


def default_extractor(preferred: str, channels: int) -> str:
    """Choose the feature network for data.

    Args:
      preferred: name of the network made for such data, `Source.extractor`.
      channels: channels of the images.

    Returns:
      `preferred` if it takes images with so many channels, else "inception", for which the channel
      of gray images can be repeated.
    """
    entry = _entry(preferred)
    return preferred if entry and entry.channels == channels else "inception"
