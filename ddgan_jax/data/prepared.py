"""Metadata of prepared TFDS data sets: found, and checked before anything else reads them.

`features.json` names Python classes that TFDS would import, and `dataset_info.json` names files.
Both are read here as plain JSON, so data from elsewhere can neither run code nor name files outside
of their folder.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from ddgan_jax.core.errors import UserError
from ddgan_jax.io.storage import local_path, open_regular, printable

_FEATURES = "tensorflow_datasets.core.features."
KNOWN_FEATURES = frozenset(
    _FEATURES + name
    for name in (
        "audio_feature.Audio",
        "bounding_boxes.BBoxFeature",
        "class_label_feature.ClassLabel",
        "dataset_feature.Dataset",
        "features_dict.FeaturesDict",
        "image_feature.Image",
        "labeled_image.LabeledImage",
        "scalar.Scalar",
        "sequence_feature.Sequence",
        "tensor_feature.Tensor",
        "text_feature.Text",
        "translation_feature.Translation",
        "translation_feature.TranslationVariableLanguages",
        "video_feature.Video",
    )
)
_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_MOST_METADATA = 64 * 2**20  # bytes


class Shard(NamedTuple):
    """A file of a split. The fields are those that `ArrayRecordDataSource` asks for."""

    filename: str
    skip: int
    take: int
    examples_in_shard: int


class Prepared(NamedTuple):
    """What the metadata of a prepared data set say.

    Attributes:
      path: folder of the data set.
      splits: name of each split to its files.
      image: name of the feature that holds the images.
      shape: (H, W, C) of the images; None where it varies.
      label: None without labels; 0 for a plain integer; else the number of classes.
      classes: names of the classes; empty if they are not known.
    """

    path: Path
    splits: Mapping[str, tuple[Shard, ...]]
    image: str
    shape: tuple[int | None, int | None, int]
    label: int | None
    classes: tuple[str, ...]


def data_root(directory: str) -> Path:
    """`directory`, or the folder of TFDS: $TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    return local_path(directory or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")


def find(name: str, root: Path, field: str) -> Path | None:
    """The folder of the newest version of a data set; None if it is not prepared.

    Args:
      name: `NAME` or `NAME/CONFIG`.
      root: the folder of all data sets.
      field: start of messages, such as "config.data.name is 'tfds:mnist'".

    Raises:
      UserError: a name of another form, several configs to choose from, or only versions without
        `dataset_info.json`.
    """
    if not re.fullmatch(r"\w+(/[\w+-][\w.+-]*)?", name):
        raise UserError(f"{field}; tfds:NAME or tfds:NAME/CONFIG is needed")
    if versions := _versions(root / name):
        return _complete(versions)
    folder = root / name
    configs = [] if "/" in name else [p for p in sorted(folder.glob("*")) if _versions(p)]
    if len(configs) > 1:
        names = " or ".join(f"tfds:{name}/{printable(config.name)}" for config in configs)
        raise UserError(f"{field}, which has several configs; {names} is needed")
    return _complete(_versions(configs[0])) if configs else None


def _versions(path: Path) -> list[Path]:
    """Folders of versions below `path`, oldest first."""
    found = [
        entry
        for entry in path.glob("*")
        if re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", entry.name) and entry.is_dir()
    ]
    return sorted(found, key=lambda version: [int(part) for part in version.name.split(".")])


def _complete(versions: list[Path]) -> Path:
    """The newest version with `dataset_info.json`, which TFDS writes last."""
    complete = [version for version in versions if (version / "dataset_info.json").exists()]
    if not complete:
        raise UserError(f"{versions[-1] / 'dataset_info.json'} is missing; {_AGAIN}")
    return complete[-1]


_AGAIN = "the data set is incomplete and has to be copied or prepared again"


def read_metadata(path: Path, field: str) -> Prepared:
    """Read and check `dataset_info.json`, `features.json` and the class names.

    Args:
      path: folder of the data set.
      field: start of messages, such as "config.data.name is 'tfds:mnist'".

    Raises:
      UserError: a file is missing, cut or has other contents than TFDS writes; records are not
        stored as array_record; a feature is of an unknown class; or it is not clear which feature
        is the image.
    """
    info = _read_json(path / "dataset_info.json")
    features = _read_json(path / "features.json")
    try:
        splits = _splits(path, info, field)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _other_contents(path / "dataset_info.json", error) from None
    try:
        _check_classes(path / "features.json", features)
        members = features["featuresDict"]["features"]
        key = _image_key(members, field)
        shape = _shape(members[key]["image"])
        label = _label(members.get("label"))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _other_contents(path / "features.json", error) from None
    classes = _class_names(path / "label.labels.txt") if label else ()
    return Prepared(path, splits, key, shape, label, classes)


def _other_contents(file: Path, error: Exception) -> UserError:
    reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return UserError(f"{file} has other contents than TFDS writes ({reason}); {_AGAIN}")


def _read_text(file: Path) -> str:
    try:
        with open_regular(file) as opened:
            data = opened.read(_MOST_METADATA + 1)
    except FileNotFoundError:
        raise UserError(f"{file} is missing; {_AGAIN}") from None
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror})") from None
    if len(data) > _MOST_METADATA:
        raise UserError(f"{file} has more than {_MOST_METADATA >> 20} MiB; metadata are needed")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{file} is not UTF-8 text; {_AGAIN}") from None


def _read_json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(_read_text(file))
    except (ValueError, RecursionError):
        raise UserError(f"{file} is cut or damaged; {_AGAIN}") from None
    if not isinstance(value, dict):
        raise UserError(f"{file} is no JSON object; {_AGAIN}")
    return value


def _plain(value: Any, what: str) -> str:
    """`value` if it is a name that cannot lead to another folder."""
    if not (isinstance(value, str) and re.fullmatch(r"[\w-][\w.+-]*", value)):
        raise ValueError(f"{what} is {value!r}")
    return value


def _splits(path: Path, info: Mapping[str, Any], field: str) -> dict[str, tuple[Shard, ...]]:
    """Name of each split to its files that have examples."""
    name = _plain(info["name"], "name")
    formats = [info.get("fileFormat", "tfrecord"), *info.get("alternativeFileFormats", [])]
    for file_format in formats:
        _plain(file_format, "fileFormat")
    if "array_record" not in formats:
        raise UserError(
            f"{field}; {path} is stored as {formats[0]}, which cannot be read at random; prepare "
            "it again elsewhere with file_format='array_record' and set config.data.dir"
        )
    splits = {}
    for split in info["splits"]:
        split_name = _plain(split["name"], "the name of a split")
        lengths = [int(length) for length in split.get("shardLengths", [])]
        if min(lengths, default=0) < 0:
            raise ValueError(f"shardLengths of {split_name} are {lengths}")
        template = split.get("filepathTemplate") or _TEMPLATE
        files = [
            _shard_file(path, template, name, split_name, number, len(lengths))
            for number in range(len(lengths))
        ]
        splits[split_name] = tuple(
            Shard(str(file), 0, length, length)
            for file, length in zip(files, lengths, strict=True)
            if length
        )
    return splits


def _shard_file(path: Path, template: Any, name: str, split: str, number: int, count: int) -> Path:
    """The file of a shard, which must lie in the folder of the data set."""
    if not isinstance(template, str):
        raise ValueError(f"filepathTemplate is {template!r}")
    relative = template
    for key, value in {
        "DATASET": name,
        "SPLIT": split,
        "FILEFORMAT": "array_record",
        "SHARD_INDEX": f"{number:05d}",
        "NUM_SHARDS": f"{count:05d}",
        "SHARD_X_OF_Y": f"{number:05d}-of-{count:05d}",
    }.items():
        relative = relative.replace(f"${{{key}}}", value).replace(f"{{{key}}}", value)
    leaves = Path(relative).is_absolute() or ".." in Path(relative).parts
    if leaves or not re.fullmatch(r"[\w.+/-]+", relative):
        raise ValueError(f"filepathTemplate is {template!r}")
    return path / relative


def _check_classes(file: Path, features: Mapping[str, Any]) -> None:
    """Check that all features are of classes that TFDS itself has.

    Raises:
      UserError: another class, or the format of features.json before TFDS 4.6.
    """
    names = list(_class_values(features))
    for name in names:
        if not isinstance(name, str) or name not in KNOWN_FEATURES:
            raise UserError(
                f"{file} names the class {name!r}; one of the feature classes of TFDS is needed: "
                f"{', '.join(sorted(n.rpartition('.')[2] for n in KNOWN_FEATURES))}"
            )
    if features.get("pythonClassName") != f"{_FEATURES}features_dict.FeaturesDict":
        raise UserError(
            f"{file} describes no FeaturesDict; a data set that TFDS 4.6 or later prepared is "
            "needed"
        )


def _class_values(value: Any) -> Iterator[Any]:
    """All values below keys that name a class."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in ("pythonClassName", "python_class_name") or (
                key == "type" and isinstance(inner, str)
            ):
                yield inner
            else:
                yield from _class_values(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _class_values(inner)


def _image_key(members: Mapping[str, Any], field: str) -> str:
    """`image`, or the only feature that is an 8-bit image."""
    keys = [
        key
        for key, feature in members.items()
        if feature["pythonClassName"] == f"{_FEATURES}image_feature.Image"
        and feature["image"].get("dtype", "uint8") == "uint8"
    ]
    key = "image" if "image" in keys else keys[0] if len(keys) == 1 else None
    if key is None:
        raise UserError(
            f"{field}; an 8-bit image feature 'image', or only one, is needed; the data have "
            f"{', '.join(members)} (8-bit images: {', '.join(keys) or 'none'})"
        )
    return key


def _shape(image: Mapping[str, Any]) -> tuple[int | None, int | None, int]:
    """(H, W, C) of an image feature; -1 in the file stands for a size that varies."""
    height, width, channels = (int(n) for n in image["shape"]["dimensions"])
    if channels not in (1, 3, 4):
        raise ValueError(f"an image has {channels} channels")
    return (height if height > 0 else None), (width if width > 0 else None), channels


def _label(feature: Mapping[str, Any] | None) -> int | None:
    """None without labels; 0 for an integer scalar; else the number of classes."""
    if feature is None:
        return None
    kind = feature["pythonClassName"]
    if kind == f"{_FEATURES}class_label_feature.ClassLabel":
        return int(feature["classLabel"].get("numClasses", 0))
    is_integer = feature.get("tensor", {}).get("dtype") in _INTEGERS
    return 0 if kind == f"{_FEATURES}scalar.Scalar" and is_integer else None


def _class_names(file: Path) -> tuple[str, ...]:
    """The names that TFDS keeps in a text file, one a line; none if there is no such file."""
    if not file.exists():
        return ()
    return tuple(line.strip() for line in _read_text(file).split("\n") if line.strip())


def check_shards(shards: tuple[Shard, ...]) -> None:
    """Check that all files of a split are there and hold as many records as the metadata say.

    Raises:
      UserError: the first file that does not.
    """
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(_check_shard, shards))


def _check_shard(shard: Shard) -> None:
    from array_record.python import array_record_module

    try:
        open_regular(Path(shard.filename)).close()
        reader = array_record_module.ArrayRecordReader(shard.filename)
        try:
            records = reader.num_records()
        finally:
            with contextlib.suppress(RuntimeError):  # of a damaged file
                reader.close()
    except FileNotFoundError:
        raise UserError(f"{shard.filename} is missing; {_AGAIN}") from None
    except (OSError, RuntimeError, ValueError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{shard.filename} cannot be read ({reason}); {_AGAIN}") from None
    if records != shard.examples_in_shard:
        raise UserError(
            f"{shard.filename} holds {records} of {shard.examples_in_shard} examples: it is cut "
            f"or damaged; {_AGAIN}"
        )
