"""Readers of the original files of MNIST, Fashion-MNIST (idx), CIFAR-10 and STL-10 (binary)."""

import gzip
import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.io.storage import open_regular

CIFAR10_RECORDS = 10_000  # in every file of the binary version
CIFAR10_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
_CIFAR10_RECORD = 1 + 3 * 32 * 32  # bytes: the label, then the red, green and blue planes
STL10_CLASSES = (
    *("airplane", "bird", "car", "cat", "deer"),
    *("dog", "horse", "monkey", "ship", "truck"),
)
_STL10_IMAGE = 3 * 96 * 96  # bytes: the red, green and blue planes, each column by column
_MOST_GZIP = 1100  # upper bound on the bytes that one gzip byte expands to (deflate: 1032)


def read_idx(directory: Path, stem: str, ndim: int) -> np.ndarray:
    """Read an idx file of bytes, plain or gzipped, under either of its two usual names.

    Args:
      directory: the folder that holds it.
      stem: its published name without `.gz`, such as `train-images-idx3-ubyte`.
      ndim: the number of dimensions it must have.

    Returns:
      uint8 array with `ndim` dimensions.

    Raises:
      UserError: no such file, a damaged or truncated one, or another type or number of dimensions.
    """
    names = [stem, f"{stem}.gz", stem.replace("-idx", ".idx"), f"{stem.replace('-idx', '.idx')}.gz"]
    path = next((directory / name for name in names if (directory / name).exists()), None)
    if path is None:
        raise UserError(f"--source is {directory}; {stem} or {stem}.gz is needed in it")
    length = 4 + 4 * ndim
    packed = path.suffix == ".gz"
    try:
        with open_regular(path) as opened:
            stored = path.stat().st_size
            file = gzip.GzipFile(fileobj=opened) if packed else opened
            header = file.read(length)
            if header[:4] != bytes([0, 0, 8, ndim]):  # 8: unsigned bytes
                raise UserError(
                    f"{path} starts with the magic number {header[:4].hex()}; 000008{ndim:02x}, "
                    f"an idx file of bytes in {ndim} dimensions, is needed"
                )
            shape = tuple(int(n) for n in np.frombuffer(header[4:], ">u4"))
            size = math.prod(shape)
            whole = len(header) == length and size <= stored * (_MOST_GZIP if packed else 1)
            data = file.read(size + 1) if whole else b""
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path} is truncated or not a gzip file ({error})") from None
    if not whole or len(data) != size:
        raise UserError(f"{path} does not hold the {shape} bytes of its header; it is truncated")
    return np.frombuffer(data, np.uint8).reshape(shape)


def read_mnist(directory: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read the four idx files of MNIST or Fashion-MNIST.

    Args:
      directory: the folder that holds them.

    Returns:
      Images uint8 `[N, 28, 28]` and labels uint8 `[N]` in 0..9, for "train" and "test".

    Raises:
      UserError: a file is missing, damaged, or does not match its partner.
    """
    arrays = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = read_idx(directory, f"{prefix}-images-idx3-ubyte", 3)
        labels = read_idx(directory, f"{prefix}-labels-idx1-ubyte", 1)
        if len(images) != len(labels) or images.shape[1:] != (28, 28) or not len(images):
            raise UserError(
                f"--source is {directory}, where {split} has images {images.shape} and labels "
                f"{labels.shape}; (N, 28, 28) and (N,) are needed"
            )
        _check_ten_classes(labels, directory)
        arrays[split] = images, labels
    return arrays


def read_cifar10(directory: Path, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read files of the binary version of CIFAR-10.

    Args:
      directory: `cifar-10-batches-bin`, or the folder that holds it.
      names: the files, in order.

    Returns:
      Images uint8 `[N, 32, 32, 3]` and labels uint8 `[N]` in 0..9.

    Raises:
      UserError: a file is missing, truncated, or of another kind.
    """
    inner = directory / "cifar-10-batches-bin"
    directory = inner if inner.is_dir() else directory
    expected = CIFAR10_RECORDS * _CIFAR10_RECORD
    parts = []
    for path in (directory / name for name in names):
        try:
            with open_regular(path) as opened:
                data = np.frombuffer(opened.read(expected + 1), np.uint8)
        except FileNotFoundError:
            raise UserError(
                f"--source is {directory}; {path.name} of the binary version is needed in it"
            ) from None
        if data.size != expected:
            raise UserError(
                f"{path} does not have {expected} bytes, {CIFAR10_RECORDS} records of "
                f"{_CIFAR10_RECORD}; it is truncated or another file"
            )
        parts.append(data.reshape(-1, _CIFAR10_RECORD))
    records = np.concatenate(parts)
    _check_ten_classes(records[:, 0], directory)
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    return planes.transpose(0, 2, 3, 1), records[:, 0]


def count_stl10(directory: Path, name: str) -> int:
    """The number of images in a file of the binary version of STL-10.

    Args:
      directory: `stl10_binary`, or the folder that holds it.
      name: such as "unlabeled_X.bin".

    Raises:
      UserError: the file is missing or truncated.
    """
    path = _stl10(directory, name)
    size = path.stat().st_size
    if size % _STL10_IMAGE or not size:
        raise UserError(
            f"{path} has {size} bytes; a multiple of {_STL10_IMAGE}, those of an image, is needed"
        )
    return size // _STL10_IMAGE


def read_stl10(directory: Path, name: str) -> Iterator[np.ndarray]:
    """Yield the images of a file of STL-10, uint8 `[96, 96, 3]`; see `count_stl10`."""
    with open_regular(_stl10(directory, name)) as file:
        while data := file.read(_STL10_IMAGE):
            yield np.frombuffer(data, np.uint8).reshape(3, 96, 96).transpose(2, 1, 0)


def read_stl10_labels(directory: Path, name: str, count: int) -> np.ndarray:
    """The labels of a file of STL-10, such as "train_y.bin", uint8 `[count]` in 0..9.

    Raises:
      UserError: the file is missing, or has other labels than 1..10, or another number of them.
    """
    path = _stl10(directory, name)
    with open_regular(path) as file:
        labels = np.frombuffer(file.read(count + 1), np.uint8)
    if labels.size != count or not ((labels >= 1) & (labels <= 10)).all():
        raise UserError(f"{path} does not have {count} labels from 1 to 10; it is damaged")
    return labels - 1


def _stl10(directory: Path, name: str) -> Path:
    inner = directory / "stl10_binary"
    path = (inner if inner.is_dir() else directory) / name
    if not path.exists():
        raise UserError(f"--source is {path.parent}; {name} of the binary version is needed in it")
    return path


def _check_ten_classes(labels: np.ndarray, where: Path) -> None:
    if labels.max(initial=0) > 9:
        raise UserError(
            f"{where}: labels go up to {labels.max()}; 0..9 are needed, so a file is damaged"
        )
