"""Data sets prepared by TFDS, read at random from array_record, without TensorFlow."""

import importlib.util
import io
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.images import Fit, fit_image
from ddgan_jax.data.source import Batch, Source, array_source

# Up to this many decoded bytes are kept in memory; beyond it, examples are decoded when taken.
MEMORY_LIMIT = 4 * 2**30

# What `python -m ddgan_jax prepare` writes, and how it is called for each.
_PREPARE = {
    "mnist": "mnist --source=DIR",
    "fashion_mnist": "fashion_mnist --source=DIR",
    "cifar10": "cifar10 --source=DIR",
    "image_folder": "folder --source=DIR --name=NAME --size=64",
}


def data_root(directory: str) -> Path:
    """`directory`, or where TFDS keeps its data: $TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    chosen = directory or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(chosen).expanduser()


def prepared_source(name: str, split: str, directory: str, how: Fit) -> Source:
    """The images and labels of a prepared data set.

    Args:
      name: as TFDS has it: `mnist`, `celeb_a_hq/256`.
      split: as TFDS has it: `train`, `test`, `train[:90%]`, `train+test`.
      directory: where data sets lie; see `data_root`.
      how: the shape that images are brought to.

    Returns:
      Examples `{"image": uint8 [n, H, W, C], "label": int32 [n]}`; label 0 where there is none.

    Raises:
      UserError: not prepared (says how), not readable at random, no such split, no single image
        feature, images of several sizes without `data.image_size`.
    """
    field = f"data.name='tfds:{name}'"
    root = data_root(directory)
    path = _find(name, root, field) or _prepare(name, root, field)

    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(str(path))
    info = builder.info
    key = _image_key(info.features, field)
    shape = _final_shape(info.features[key].shape, how, field)
    has_label = "label" in info.features and isinstance(
        info.features["label"], (tfds.features.ClassLabel, tfds.features.Scalar)
    )
    try:
        # Bytes of images are decoded here, where Pillow can leave Python's lock and resize at once.
        records = builder.as_data_source(split, decoders={key: tfds.decode.SkipDecoding()})
    except NotImplementedError:
        raise UserError(
            f"{field}: {path} is stored as {info.file_format.value}, which cannot be read at "
            "random; prepare it again elsewhere with file_format='array_record' and set data.dir"
        ) from None
    except (ValueError, KeyError, AssertionError):
        raise UserError(
            f"data.split={split!r}: {name} has {', '.join(sorted(info.splits))}, or a part: "
            "train[:90%]"
        ) from None
    if not len(records):
        raise UserError(f"data.split={split!r} selects no examples of {name}")

    def take(indices: np.ndarray) -> Batch:
        rows = records.__getitems__([int(i) for i in indices])
        images = np.stack([_decode(row[key], shape, how, field) for row in rows])
        labels = [row["label"] if has_label else 0 for row in rows]
        return {"image": images, "label": np.array(labels, np.int32)}

    if len(records) * int(np.prod(shape)) > MEMORY_LIMIT:
        return Source(name, len(records), shape, take)
    return array_source(name, *_load(take, len(records)))


def _versions(path: Path) -> list[Path]:
    """Finished versions below `path`, oldest first; TFDS writes `dataset_info.json` last."""
    found = [
        entry.parent
        for entry in path.glob("*/dataset_info.json")
        if re.fullmatch(r"\d+\.\d+\.\d+", entry.parent.name)
    ]
    return sorted(found, key=lambda version: [int(part) for part in version.name.split(".")])


def _find(name: str, root: Path, field: str) -> Path | None:
    """The newest prepared version, or None."""
    if not re.fullmatch(r"\w+(/[\w.+-]+)?", name):
        raise UserError(f"{field}: allowed: tfds:NAME or tfds:NAME/CONFIG")
    if versions := _versions(root / name):
        return versions[-1]
    configs = [] if "/" in name else [p for p in sorted((root / name).glob("*")) if _versions(p)]
    if len(configs) > 1:
        names = ", ".join(f"tfds:{name}/{config.name}" for config in configs)
        raise UserError(f"{field}: which of its configs? {names}")
    return _versions(configs[0])[-1] if configs else None


def _prepare(name: str, root: Path, field: str) -> Path:
    """Lets TFDS prepare the data set where TensorFlow is there; else says what to do."""
    missing = f"{field} is not prepared under {root} (data.dir); "
    base = name.split("/")[0]
    ours = f"run: python -m ddgan_jax prepare {_PREPARE.get(base, '')} --data_dir={root}"
    if base in _PREPARE:  # at once; without network TFDS would try for minutes
        raise UserError(missing + ours)
    if not _has_tensorflow():
        raise UserError(
            missing + "to let TFDS download and prepare it: pip install 'ddgan_jax[tf]'"
        )
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=str(root), file_format="array_record")
        builder.download_and_prepare()
    except Exception as error:  # TFDS raises dozens of kinds: unknown name, network, checksum, ...
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{missing}TFDS could not prepare it: {reason}") from error
    return Path(builder.data_path)


def _has_tensorflow() -> bool:
    return importlib.util.find_spec("tensorflow") is not None


def _image_key(features: Any, field: str) -> str:
    """`image`, or the only feature that is an 8-bit image."""
    import tensorflow_datasets as tfds

    keys = [k for k in features if isinstance(features[k], tfds.features.Image)]
    keys = [k for k in keys if features[k].np_dtype == np.uint8]
    key = "image" if "image" in keys else keys[0] if len(keys) == 1 else None
    if key is None:
        raise UserError(
            f"{field}: needs an 8-bit image feature 'image', or only one; it has "
            f"{', '.join(features)} (8-bit images: {', '.join(keys) or 'none'})"
        )
    return key


def _final_shape(stored: tuple[int | None, ...], how: Fit, field: str) -> tuple[int, int, int]:
    """(H, W, C) after fitting an image that is stored with this shape (None: it varies)."""
    height, width = (how.size, how.size) if how.size else stored[:2]
    if height is None or width is None:
        raise UserError(f"{field}: images differ in size; set data.image_size, for example 64")
    return height, width, how.channels or (1 if stored[2] == 1 else 3)


def _decode(encoded: bytes, shape: tuple[int, int, int], how: Fit, field: str) -> np.ndarray:
    """Encoded bytes to uint8 `shape`."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(encoded)) as image:
            # A set of colour images may hold a few grey ones: the channels are those of the set.
            pixels = fit_image(image, how._replace(channels=shape[-1]))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{field}: an image cannot be decoded ({error})") from None
    if pixels.shape != shape:
        raise UserError(f"{field}: an image has shape {pixels.shape}, not {shape}")
    return pixels


def _load(take: Callable[[np.ndarray], Batch], size: int) -> tuple[np.ndarray, np.ndarray]:
    """All images and labels, decoded once by a few threads."""
    chunks = np.array_split(np.arange(size), max(1, size // 256))
    with ThreadPoolExecutor() as pool:
        parts = list(pool.map(take, chunks))
    images, labels = ([part[key] for part in parts] for key in ("image", "label"))
    return np.concatenate(images), np.concatenate(labels)
