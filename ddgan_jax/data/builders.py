"""TFDS builders that need no TensorFlow: they write array_record from files that are already there.

Names and versions are those of TFDS, so TFDS (and `tfds:mnist` in a config) finds what they write.
Importing this module imports tensorflow_datasets.
"""

import contextlib
import dataclasses
import gzip
import io
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image, ImageOps

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.images import Fit, fit_image

CIFAR10_RECORDS = 10_000  # in every file of the binary version
CIFAR10_CLASSES = [
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
]
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")

# What Pillow raises for damaged files of every sort, and we for 16-bit ones.
_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError, UserError)

Examples = Iterator[tuple[int | str, dict[str, object]]]


def read_idx(directory: Path, stem: str, ndim: int) -> np.ndarray:
    """An idx file of bytes, plain or gzipped, under either of its two usual names.

    Args:
      directory: where it lies.
      stem: its name as published, without `.gz`: `train-images-idx3-ubyte`.
      ndim: number of dimensions it must have.

    Returns:
      uint8 array with `ndim` dimensions.

    Raises:
      UserError: no such file, damaged or truncated, or another type or number of dimensions.
    """
    names = [stem, f"{stem}.gz", stem.replace("-idx", ".idx"), f"{stem.replace('-idx', '.idx')}.gz"]
    path = next((directory / name for name in names if (directory / name).is_file()), None)
    if path is None:
        raise UserError(f"--source={directory}: there is no {stem} or {stem}.gz")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: truncated or not gzip ({error})") from None
    header = 4 + 4 * ndim
    if data[:4] != bytes([0, 0, 8, ndim]):  # 8: unsigned bytes
        raise UserError(f"{path}: magic is {data[:4].hex()}, not 000008{ndim:02x}: not this file")
    shape = tuple(int(n) for n in np.frombuffer(data[4:header], ">u4"))
    if len(shape) != ndim or len(data) != header + int(np.prod(shape)):
        raise UserError(f"{path}: {len(data)} bytes do not hold {shape}: truncated or damaged")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def read_cifar10(directory: Path, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Files of the binary version of CIFAR-10.

    Args:
      directory: `cifar-10-batches-bin`, or its parent.
      names: the files, in order.

    Returns:
      Images uint8 `[N, 32, 32, 3]` and labels uint8 `[N]`, 0..9.

    Raises:
      UserError: a file is missing, truncated, or not of this kind.
    """
    inner = directory / "cifar-10-batches-bin"
    directory = inner if inner.is_dir() else directory
    parts = []
    for path in (directory / name for name in names):
        if not path.is_file():
            raise UserError(f"--source={directory}: there is no {path.name} (the binary version)")
        data = np.fromfile(path, np.uint8)
        if data.size != CIFAR10_RECORDS * 3073:
            raise UserError(
                f"{path}: {data.size} bytes, not {CIFAR10_RECORDS} records of 3073: truncated"
            )
        parts.append(data.reshape(-1, 3073))
    records = np.concatenate(parts)
    _check_labels(records[:, 0], directory)
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    return planes.transpose(0, 2, 3, 1), records[:, 0]


def find_images(directory: Path) -> list[Path]:
    """All PNG and JPEG files below `directory`, relative to it, sorted; hidden ones are left out.

    Raises:
      UserError: no such directory, or not one image in it.
    """
    if not directory.is_dir():
        raise UserError(f"--source={directory}: there is no such directory")
    relative = (path.relative_to(directory) for path in directory.rglob("*"))
    images = [
        path
        for path in relative
        if path.suffix.lower() in IMAGE_SUFFIXES and not any(p.startswith(".") for p in path.parts)
    ]
    if not images:
        raise UserError(f"--source={directory}: no images ({', '.join(IMAGE_SUFFIXES)}) below it")
    return sorted(images)


def class_of(path: Path) -> str:
    """The first folder of a relative path: the name of its class (`unsorted` outside of any)."""
    return path.parts[0] if len(path.parts) > 1 else "unsorted"


def _check_labels(labels: np.ndarray, where: Path) -> None:
    if labels.max(initial=0) > 9:
        raise UserError(f"{where}: labels go up to {labels.max()}; allowed: 0..9: damaged files")


def _png(pixels: np.ndarray) -> bytes:
    """uint8 `[H, W, 1 or 3]` to PNG. (Given an array, TFDS would encode it with TensorFlow.)"""
    out = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(out, "PNG")
    return out.getvalue()


class _Mnist(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """What MNIST and Fashion-MNIST share: the four idx files in `manual_dir`."""

    VERSION = tfds.core.Version("3.0.1")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Put the four idx files there."
    HOMEPAGE: str

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(28, 28, 1)),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description="28x28 grey images of ten classes.",
            features=features,
            supervised_keys=("image", "label"),
            homepage=self.HOMEPAGE,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        source = Path(dl_manager.manual_dir)
        # Everything is read and checked before the first example is written.
        arrays = {
            split: (
                read_idx(source, f"{prefix}-images-idx3-ubyte", 3),
                read_idx(source, f"{prefix}-labels-idx1-ubyte", 1),
            )
            for split, prefix in (("train", "train"), ("test", "t10k"))
        }
        for split, (images, labels) in arrays.items():
            if len(images) != len(labels) or images.shape[1:] != (28, 28) or not len(images):
                raise UserError(
                    f"--source={source}: {split} has images {images.shape} and labels "
                    f"{labels.shape}; allowed: (N, 28, 28) and (N,)"
                )
            _check_labels(labels, source)
        return {split: self._generate_examples(*pair) for split, pair in arrays.items()}

    def _generate_examples(self, images: np.ndarray, labels: np.ndarray) -> Examples:
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield index, {"image": _png(image[..., None]), "label": int(label)}


class Mnist(_Mnist, skip_registration=True):
    """MNIST, from the files of LeCun, Cortes and Burges."""

    name = "mnist"
    HOMEPAGE = "http://yann.lecun.com/exdb/mnist/"


class FashionMnist(_Mnist, skip_registration=True):
    """Fashion-MNIST, from the files of Zalando Research."""

    name = "fashion_mnist"
    HOMEPAGE = "https://github.com/zalandoresearch/fashion-mnist"


class Cifar10(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """CIFAR-10, from the six files of its binary version."""

    name = "cifar10"
    VERSION = tfds.core.Version("3.0.2")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Put the binary version there."

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "id": tfds.features.Text(),
                "image": tfds.features.Image(shape=(32, 32, 3)),
                "label": tfds.features.ClassLabel(names=CIFAR10_CLASSES),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description="32x32 colour images of ten classes.",
            features=features,
            supervised_keys=("image", "label"),
            homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        source = Path(dl_manager.manual_dir)
        train = read_cifar10(source, [f"data_batch_{i}.bin" for i in range(1, 6)])
        test = read_cifar10(source, ["test_batch.bin"])
        return {
            "train": self._generate_examples("train", *train),
            "test": self._generate_examples("test", *test),
        }

    def _generate_examples(self, split: str, images: np.ndarray, labels: np.ndarray) -> Examples:
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            key = f"{split}_{index:05d}"
            yield key, {"id": key, "image": _png(image), "label": int(label)}


@dataclasses.dataclass(eq=False)
class FolderConfig(tfds.core.BuilderConfig):
    """One folder of images: its height and width when written, and its classes."""

    size: int = 64
    classes: tuple[str, ...] = ()


class ImageFolder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """PNG and JPEG files below `manual_dir`, scaled and cropped to RGB squares, all in `train`."""

    name = "image_folder"
    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Put images there."

    def _info(self) -> tfds.core.DatasetInfo:
        size = self.builder_config.size
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(size, size, 3)),
                "label": tfds.features.ClassLabel(names=list(self.builder_config.classes)),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self, description="Images of a folder.", features=features
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        return {"train": self._generate_examples(Path(dl_manager.manual_dir))}

    def _generate_examples(self, source: Path) -> Examples:
        how = Fit(self.builder_config.size, "resize", 3)
        for path in find_images(source):
            try:
                with Image.open(source / path) as image:
                    # Cameras store how they were held instead of turning the pixels.
                    pixels = fit_image(ImageOps.exif_transpose(image), how)
            except _UNREADABLE as error:
                raise UserError(f"{source / path}: not a readable image ({error})") from None
            yield path.as_posix(), {"image": _png(pixels), "label": class_of(path)}


def write(
    builder: type[tfds.core.GeneratorBasedBuilder],
    source: Path,
    root: Path,
    config: FolderConfig | None = None,
) -> Path:
    """Prepares a data set under `root`, whole or not at all.

    Args:
      builder: one of the classes above.
      source: the directory of the original files.
      root: where data sets lie; made if it is not there.
      config: of an `ImageFolder`.

    Returns:
      The directory of the data set.

    Raises:
      UserError: already there, or whatever is wrong with the files in `source`.
    """
    if not source.is_dir():
        raise UserError(f"--source={source}: there is no such directory")
    made = builder(data_dir=str(root), config=config, file_format="array_record")
    path = Path(made.data_path)
    if path.exists():
        raise UserError(f"{path} is already there; delete it to prepare it again")
    download = tfds.download.DownloadConfig(manual_dir=str(source), compute_stats="skip")
    try:
        # Nothing is downloaded, but TFDS makes a directory for it.
        with tempfile.TemporaryDirectory() as downloads:
            made.download_and_prepare(download_config=download, download_dir=downloads)
    finally:
        # TFDS removes what it has half written, but leaves empty directories behind.
        for empty in (path.parent, path.parent.parent):
            if empty != root:
                with contextlib.suppress(OSError):
                    empty.rmdir()
    return path
