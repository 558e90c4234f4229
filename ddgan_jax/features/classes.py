"""The project's own classifiers of small grey images: features and classes for metrics.

Two come with the package, `mnist` (32x32) and `digits` (8x8), made by `classifier.py`.

Generators of MNIST run at 28x28, or at 32x32 with the digits either in a black frame (data.fit=pad)
or magnified (data.fit=resize). So the network looks at 32x32, was trained on both, zoomed and
shifted at random, and images of another size are brought there: it reads all three. Features still
differ between them: a distance compares sets that came to their size the same way.

Distances between these features are no FID, and none of another classifier, or of other weights, is
comparable: reports name the classifier and the hash of its weights.
"""

import functools
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from ddgan_jax.core.errors import UserError, nearest
from ddgan_jax.core.types import Array, PyTree
from ddgan_jax.features.extractor import Extracted, Extractor
from ddgan_jax.interop.weight_files import content_hash
from ddgan_jax.networks.classifier import SIZES, Classifier

WEIGHTS = Path(__file__).with_name("weights")


class ClassReport(NamedTuple):
    """Attributes:
    confidence: mean probability of the likeliest class.
    sure: share of images whose likeliest class has probability above 0.9.
    classes: share of images of each class, float64 [K].
    balance: exp(entropy of `classes`) / K; 1 when all classes are equally frequent.
    """

    confidence: float
    sure: float
    classes: np.ndarray
    balance: float


def class_report(logits: np.ndarray | Array) -> ClassReport:
    """What a classifier sees in a set of images: are they of its classes, and of all of them?

    Args:
      logits: float [N, K], N at least 1.
    """
    logits = np.asarray(logits, np.float64)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    likeliest = p.max(axis=1)
    classes = np.bincount(p.argmax(axis=1), minlength=p.shape[1]) / len(p)
    entropy = -sum(c * np.log(c) for c in classes if c)
    return ClassReport(
        confidence=float(likeliest.mean()),
        sure=float((likeliest > 0.9).mean()),
        classes=classes,
        balance=float(np.exp(entropy) / len(classes)),
    )


def load_classifier(name_or_path: str) -> Extractor:
    """A trained classifier: `mnist` or `digits`, or the file that `classifier.py` wrote.

    Its `apply` takes uint8 [B, H, W, 1] of any size and gives features [B, 128] and logits [B, K].
    It is called after its data: `mnist-classifier`, distance `frechet_mnist_classifier`.

    Raises:
      UserError: no such classifier or file, a file that is damaged, incomplete or something else.
    """
    return extractor_of(*_read(name_or_path))


def weights_meta(name_or_path: str) -> dict[str, Any]:
    """How a classifier was made: name, command, data, size, steps, seed, batch, accuracy by set.

    Raises:
      UserError: as `load_classifier`.
    """
    return _read(name_or_path)[0]


def classify(extractor: Extractor, images: np.ndarray, batch_size: int = 500) -> np.ndarray:
    """Logits float32 [N, K] of uint8 images [N, H, W, 1], `batch_size` at a time."""
    apply = jax.jit(extractor.apply)
    size = min(batch_size, len(images))
    parts = []
    for start in range(0, len(images), size):
        part = images[start : start + size]
        filled = np.pad(part, [(0, size - len(part)), (0, 0), (0, 0), (0, 0)])
        logits = apply(extractor.params, filled).logits
        parts.append(np.asarray(logits)[: len(part)])
    return np.concatenate(parts)


def extractor_of(meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Extractor:
    """A classifier of checked weights, {name: array}; `meta` has "name" and "size"."""
    size, name = meta["size"], meta["name"]
    module = Classifier(classes=len(arrays["logits/bias"]))

    def apply(params: PyTree, images: Array) -> Extracted:
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 1:
            raise UserError(
                f"{name}-classifier: images are {images.dtype} {list(images.shape)}; "
                "allowed: uint8 [B, H, W, 1]"
            )
        x = jnp.asarray(images).astype(jnp.float32) / 255
        if x.shape[1:3] != (size, size):
            x = jax.image.resize(x, (x.shape[0], size, size, 1), "bilinear", antialias=False)
        # Accelerators would round products to fewer bits, and features with them.
        with jax.default_matmul_precision("highest"):
            return Extracted(*module.apply({"params": params}, x))

    return Extractor(
        name=f"{name}-classifier",
        distance=f"frechet_{name}_classifier",
        weights_hash=content_hash(arrays),
        resize=f"bilinear to {size}x{size}, half-pixel centres, no antialiasing",
        channels=1,
        classes=module.classes,
        params=_nested({k: np.asarray(v, np.float32) for k, v in arrays.items()}),
        apply=apply,
    )


def _shapes(size: int, classes: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of all weights of a classifier."""
    image = jax.ShapeDtypeStruct((1, size, size, 1), jnp.float32)
    init = functools.partial(Classifier(classes).init, jax.random.key(0))
    flat = traverse_util.flatten_dict(jax.eval_shape(init, image)["params"], sep="/")
    return {name: leaf.shape for name, leaf in flat.items()}


def _nested(arrays: Mapping[str, Any]) -> PyTree:
    return traverse_util.unflatten_dict(dict(arrays), sep="/")


def _read(name_or_path: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Meta and weights of a file that was checked."""
    field = f"classifier={name_or_path!r}"
    shipped = sorted(p.stem for p in WEIGHTS.glob("*.npz"))
    known = name_or_path in shipped
    path = WEIGHTS / f"{name_or_path}.npz" if known else Path(name_or_path).expanduser()
    try:
        # Opened here, because numpy leaves a file open that turns out to be broken.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = dict(file)
    except FileNotFoundError:
        raise UserError(
            f"{field}: there is no such file; allowed: {', '.join(shipped)}, or a file that "
            f"`python -m ddgan_jax classifier` wrote{nearest(name_or_path, shipped)}"
        ) from None
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{field}: not a readable npz file ({reason})") from None
    try:
        meta = json.loads(str(arrays.pop("meta")))
        size, _ = int(meta["size"]), str(meta["name"])
        expected = _shapes(size, len(arrays["logits/bias"])) if size in SIZES else {}
    except (KeyError, ValueError, TypeError):
        expected = {}
    if not expected:
        raise UserError(
            f"{field}: not a classifier; allowed: a file that "
            "`python -m ddgan_jax classifier` wrote"
        )
    for name in sorted(expected.keys() | arrays.keys()):
        found = arrays[name].shape if name in arrays else "missing"
        needed = expected.get(name, "none")
        if found != needed:
            raise UserError(f"{field}: array {name!r} is {found}; allowed at this size: {needed}")
        if arrays[name].dtype.kind != "f" or not np.isfinite(arrays[name]).all():
            raise UserError(f"{field}: array {name!r} is damaged; allowed: finite numbers")
    return meta, arrays
