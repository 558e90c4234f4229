"""The project's classifiers of small gray images, used as feature networks.

Two are part of the package: `mnist` (32x32) and `digits` (8x8), trained by
`training/classifier.py`.

Generators of MNIST work at 28x28, or at 32x32 with digits that are either padded with black
(data.fit=pad) or magnified (data.fit=resize). The `mnist` network takes 32x32 and was trained on
both, with random zoom and shift; images of other sizes are resized to 32x32. It classifies digits
in all three forms, but their features differ, so only compare sets that were resized the same way.

Distances between these features are not FIDs, and distances of different classifiers or weights are
not comparable. Reports therefore contain the name of the classifier and the hash of its weights.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError, nearest
from ddgan_jax.core.types import Array, PyTree
from ddgan_jax.features.extractor import Extracted, Extractor, ExtractorEntry
from ddgan_jax.interop.weight_files import content_hash
from ddgan_jax.io.read_npz import read_npz
from ddgan_jax.io.storage import local_path, open_regular
from ddgan_jax.networks.classifier import SIZES, Classifier
from ddgan_jax.parallel.batching import in_batches

WEIGHTS = Path(__file__).with_name("weights")
_WRITTEN = "file written by `python -m ddgan_jax classifier`"


def load_classifier(name_or_path: str) -> Extractor:
    """Load a trained classifier.

    Its `apply` takes uint8 [B, H, W, 1] of any size and returns features [B, 128] and logits
    [B, K]. It is named after its data: "mnist-classifier", distance "frechet_mnist_classifier".

    Args:
      name_or_path: "mnist", "digits", or a file written by `training/classifier.py`.

    Raises:
      UserError: no such classifier or file, or a damaged, incomplete or different file.
    """
    return extractor_of(*_read(name_or_path))


def weights_meta(name_or_path: str) -> dict[str, Any]:
    """How a classifier was trained.

    Args:
      name_or_path: see `load_classifier`.

    Returns:
      Name, command, data, size, steps, seed, batch size, and test accuracy by set of images.

    Raises:
      UserError: see `load_classifier`.
    """
    return _read(name_or_path)[0]


def classify(extractor: Extractor, images: np.ndarray, batch_size: int = 500) -> np.ndarray:
    """Logits of images on the host.

    Args:
      extractor: a classifier.
      images: uint8 [N, H, W, 1].
      batch_size: images per compiled call.

    Returns:
      float32 [N, K].
    """
    apply = jax.jit(extractor.apply)
    batches = in_batches(
        lambda batch: apply(extractor.params, batch).logits,
        [images],
        min(batch_size, len(images)),
    )
    return np.concatenate(list(batches))


def extractor_of(meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Extractor:
    """The feature network of a classifier's weights.

    Args:
      meta: has "name", of the data, and "size", of the network's input.
      arrays: checked weights by name, as in the file.
    """
    size, name = meta["size"], meta["name"]
    module = Classifier(classes=len(arrays["logits/bias"]))

    def apply(params: PyTree, images: Array) -> Extracted:
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 1:
            raise UserError(
                f"images for {name}-classifier are {images.dtype} {list(images.shape)}; "
                "uint8 [B, H, W, 1] is needed"
            )
        x = jnp.asarray(images).astype(jnp.float32) / 255
        if x.shape[1:3] != (size, size):
            x = jax.image.resize(x, (x.shape[0], size, size, 1), "bilinear", antialias=False)
        # By default, accelerators round the inputs of products, which would change the features.
        with jax.default_matmul_precision("highest"):
            return Extracted(*module.apply({"params": params}, x))

    return Extractor(
        name=f"{name}-classifier",
        distance=f"frechet_{name}_classifier",
        weights_hash=content_hash(arrays),
        # Part of the key of cached statistics and of earlier reports: keep the spelling.
        resize=f"bilinear to {size}x{size}, half-pixel centres, no antialiasing",
        channels=1,
        classes=module.classes,
        params=_nested({k: np.asarray(v, np.float32) for k, v in arrays.items()}),
        apply=apply,
    )


def _shapes(size: int, classes: int) -> dict[str, tuple[int, ...]]:
    """Shapes of all weights of a classifier, by name."""
    image = jax.ShapeDtypeStruct((1, size, size, 1), jnp.float32)
    init = functools.partial(Classifier(classes).init, jax.random.key(0))
    flat = traverse_util.flatten_dict(jax.eval_shape(init, image)["params"], sep="/")
    return {name: leaf.shape for name, leaf in flat.items()}


def _nested(arrays: Mapping[str, Any]) -> PyTree:
    return traverse_util.unflatten_dict(dict(arrays), sep="/")


def _read(name_or_path: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read and check a file of weights.

    Returns:
      (metadata, weights by name).
    """
    what = f"classifier {name_or_path!r}"
    shipped = sorted(p.stem for p in WEIGHTS.glob("*.npz"))
    known = name_or_path in shipped
    path = WEIGHTS / f"{name_or_path}.npz" if known else local_path(name_or_path)
    try:
        with open_regular(path) as opened:
            arrays = read_npz(opened)
    except FileNotFoundError:
        raise UserError(
            f"{what} does not exist; {', '.join(shipped)} or a {_WRITTEN} is needed"
            f"{nearest(name_or_path, shipped)}"
        ) from None
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds for damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{what} is not a readable npz file: {reason}") from None
    try:
        meta = json.loads(str(arrays.pop("meta")))
        size, _ = meta["size"], str(meta["name"])
        known = type(size) is int and size in SIZES
        expected = _shapes(size, len(arrays["logits/bias"])) if known else {}
    except (KeyError, ValueError, TypeError):
        expected = {}
    if not expected:
        raise UserError(f"{what} has no classifier; a {_WRITTEN} is needed")
    for name in sorted(expected.keys() | arrays.keys()):
        found = arrays[name].shape if name in arrays else "missing"
        needed = expected.get(name, "none")
        if found != needed:
            raise UserError(f"{what}: array {name!r} is {found}; {needed} is needed at this size")
        if arrays[name].dtype.kind != "f" or not np.isfinite(arrays[name]).all():
            raise UserError(f"{what}: array {name!r} is damaged; finite numbers are needed")
    return meta, arrays


def _shipped(name: str) -> ExtractorEntry:
    """The entry of a classifier that is part of the package."""

    def load(settings: ConfigDict) -> Extractor:
        del settings
        return load_classifier(name)

    return ExtractorEntry(load, channels=1)


MNIST, DIGITS = _shipped("mnist"), _shipped("digits")
