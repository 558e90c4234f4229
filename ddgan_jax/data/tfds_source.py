"""`tfds:NAME`: data sets prepared by TFDS, read at random from array_record without TensorFlow."""

import functools
import importlib.util
import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ddgan_jax.core.errors import UserError, nearest
from ddgan_jax.data.images import Fit, enlargement_notes, fit_image, open_image
from ddgan_jax.data.prepared import (
    Prepared,
    Shard,
    check_shards,
    data_root,
    find,
    read_metadata,
)
from ddgan_jax.data.source import Batch, DataKind, Request, Source, as_labels
from ddgan_jax.data.splits import check_split

# The data sets that `preparation.write_dataset` writes, with the arguments of its command.
_PREPARE = {
    "mnist": "mnist --source=DIR",
    "fashion_mnist": "fashion_mnist --source=DIR",
    "cifar10": "cifar10 --source=DIR",
    "stl10": "stl10 --source=DIR",
    "image_folder": "folder --source=DIR --name=NAME --size=64",
}
_COMMAND = "python -m ddgan_jax prepare"
_LABEL_CHUNK = 1024  # records


def prepared_source(name: str, split: str, directory: str, how: Fit) -> Source:
    """The images and labels of a prepared data set, decoded whenever they are read.

    Args:
      name: name in TFDS: `mnist`, `celeb_a_hq/256`.
      split: name of a split: `train`, `test`; `all` for all of them.
      directory: the folder of prepared data sets; see `data_root`.
      how: the size and number of channels that images are brought to.

    Returns:
      Examples `{"image": uint8 [n, H, W, C], "label": int32 [n]}`; label 0 where there is none.

    Raises:
      UserError: not prepared (the message says how to), damaged, not readable at random, no such
        split, no single image feature, or images of several sizes without `config.data.image_size`.
    """
    field = f"config.data.name is {f'tfds:{name}'!r}"
    root = data_root(directory)
    path = find(name, root, field) or _prepare(name, root, field)
    prepared = read_metadata(path, field)
    if split == "all" and "all" not in prepared.splits:
        shards = tuple(shard for files in prepared.splits.values() for shard in files)
    else:
        check_split(split, sorted(prepared.splits))
        shards = prepared.splits[split]
    if not shards:
        raise UserError(f"config.data.split is {split!r}; {name} has no examples in it")
    check_shards(shards)

    height, width, _ = prepared.shape
    shape = _final_shape(prepared.shape, how, field)
    records = _Records(shards, prepared)
    size = sum(shard.take for shard in shards)

    def take(indices: np.ndarray) -> Batch:
        rows = records.read(indices)
        images = np.stack([_decode(row[prepared.image], shape, how, field) for row in rows])
        label = as_labels(name, np.array([row.get("label", 0) for row in rows]))
        return {"image": images, "label": label}

    @functools.cache
    def labels() -> np.ndarray:
        if prepared.label is None:
            return np.zeros(size, np.int32)
        chunks = np.array_split(np.arange(size), max(1, size // _LABEL_CHUNK))
        with ThreadPoolExecutor() as pool:
            parts = pool.map(records.labels, chunks)
            return as_labels(name, np.concatenate(list(parts)))

    return Source(
        name=name,
        size=size,
        shape=shape,
        take=take,
        extractor="mnist" if name == "mnist" and shape[-1] == 1 else "inception",
        classes=prepared.classes,
        labeled=prepared.label is not None,
        labels=labels,
        notes=enlargement_notes(height, width, how) if height and width else (),
    )


class _Records:
    """Random access to the records of some shards, as image bytes and labels."""

    def __init__(self, shards: Sequence[Shard], prepared: Prepared):
        import tensorflow_datasets as tfds
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        self._shards = shards
        self._ends = np.cumsum([shard.take for shard in shards])
        self._reader = ArrayRecordDataSource(list(shards))
        # Features made here: TFDS sees nothing of the files but the records.
        label = {}
        if prepared.label is not None:
            classes = prepared.label
            label["label"] = (
                tfds.features.ClassLabel(num_classes=classes)
                if classes
                else tfds.features.Scalar(np.int64)
            )
        image = {prepared.image: tfds.features.Image(shape=prepared.shape)}
        self._all = tfds.features.FeaturesDict({**image, **label})
        self._label = tfds.features.FeaturesDict(label)
        # The bytes of images are decoded by `_decode`, which releases Python's lock.
        self._decoders = {prepared.image: tfds.decode.SkipDecoding()}

    def read(self, indices: np.ndarray) -> list[Mapping[str, Any]]:
        """Encoded images and labels."""
        return self._parsed(indices, self._all, self._decoders)

    def labels(self, indices: np.ndarray) -> np.ndarray:
        """Labels alone, integers `[n]`."""
        return np.array([row["label"] for row in self._parsed(indices, self._label, None)])

    def _parsed(self, indices: np.ndarray, features: Any, decoders: Any) -> list[Mapping[str, Any]]:
        def parsed(keys: Sequence[int]) -> list[Mapping[str, Any]]:
            records = self._reader.__getitems__(keys)
            return [features.deserialize_example_np(r, decoders=decoders) for r in records]

        keys = [int(i) for i in indices]
        try:
            return parsed(keys)
        except Exception:  # does not say which file is damaged
            return [row for key in keys for row in self._one(parsed, key)]

    def _one(
        self, parsed: Callable[[Sequence[int]], list[Mapping[str, Any]]], key: int
    ) -> list[Mapping[str, Any]]:
        """One record, with an error that names its file."""
        try:
            return parsed([key])
        except Exception as error:
            file = self._shards[int(np.searchsorted(self._ends, key, side="right"))].filename
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise UserError(f"{file} is damaged ({reason})") from None


def _prepare(name: str, root: Path, field: str) -> Path:
    """Let TFDS prepare the data set if TensorFlow is installed; else say how to prepare it.

    Raises:
      UserError: the data set is not prepared, and TFDS cannot do it.
    """
    missing = f"{field}, which is not prepared in {root} (config.data.dir); "
    base = name.split("/")[0]
    if base in _PREPARE:  # at once; without a network TFDS would try for minutes
        raise UserError(f"{missing}run: {_COMMAND} {_PREPARE[base]} --data_dir={root}")
    _check_tfds_can(base, missing)
    if not _has_tensorflow():
        raise UserError(
            f"{missing}with TensorFlow, TFDS tries to download and prepare it: pip install "
            "tensorflow"
        )
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=str(root), file_format="array_record")
        builder.download_and_prepare()
    except Exception as error:  # TFDS raises dozens of kinds: network, checksum, disk, ...
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{missing}TFDS could not prepare it: {reason}") from error
    return Path(builder.data_path)


def _check_tfds_can(base: str, missing: str) -> None:
    """Check that TFDS has a data set of this name and downloads it by itself.

    Raises:
      UserError: it has not, or needs files that the user has to get.
    """
    import tensorflow_datasets as tfds

    known = tfds.list_builders(with_community_datasets=False)
    folder = f"for a folder of images, run: {_COMMAND} {_PREPARE['image_folder']}"
    if base not in known:
        hint = nearest(base, [*_PREPARE, *known])
        raise UserError(f"{missing}TFDS has no data set of this name{hint}; {folder}")
    try:
        by_hand = bool(tfds.builder_cls(base).MANUAL_DOWNLOAD_INSTRUCTIONS)
    except Exception:  # the module of the data set needs a package that is not installed
        return
    if by_hand:
        raise UserError(
            f"{missing}TFDS cannot download it: see "
            f"https://www.tensorflow.org/datasets/catalog/{base} for the files it needs, prepare "
            f"it with file_format='array_record'; or, {folder}"
        )


def _has_tensorflow() -> bool:
    return importlib.util.find_spec("tensorflow") is not None


def _final_shape(
    stored: tuple[int | None, int | None, int], how: Fit, field: str
) -> tuple[int, int, int]:
    """(H, W, C) of images of the stored shape (None: it varies) after `fit_image`."""
    height, width = (how.size, how.size) if how.size else stored[:2]
    if height is None or width is None:
        raise UserError(
            f"{field}, whose images differ in size; config.data.image_size, for example 64, is "
            "needed"
        )
    return height, width, how.channels or (1 if stored[2] == 1 else 3)


def _decode(encoded: bytes, shape: tuple[int, int, int], how: Fit, field: str) -> np.ndarray:
    """Decode an image to uint8 `shape`."""
    with open_image(io.BytesIO(encoded), f"{field}; an image") as image:
        # A set of color images may hold a few gray ones; all get the channels of the set.
        pixels = fit_image(image, how._replace(channels=shape[-1]))
    if pixels.shape != shape:
        raise UserError(f"{field}; an image has shape {pixels.shape}, and {shape} is needed")
    return pixels


def _load(request: Request) -> Source:
    return prepared_source(request.argument, request.split, request.directory, request.fit)


TFDS = DataKind(_load, "NAME[/CONFIG]", "an image data set that TFDS prepared")
