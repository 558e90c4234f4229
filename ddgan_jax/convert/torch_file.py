"""Reads PyTorch checkpoint files without PyTorch, and without running anything they contain.

A checkpoint is a pickle in which tensors refer to storages, and the bytes of those storages. Since
PyTorch 1.6 they are members of a zip archive. Before, and so in most published feature networks,
they follow each other in one stream: magic number, version, facts about the machine, the pickle,
the names of the storages, then the length and the bytes of each.

A pickle may name any function and have it called on loading. Here a fixed handful of names is
known, all of them harmless; any other is an error.
"""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ddgan_jax.errors import UserError

_ZIP_START = b"PK\x03\x04"
_STREAM_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


class _Storage(NamedTuple):
    key: str
    dtype: np.dtype
    size: int


class _Tensor(NamedTuple):
    """A view of a storage: offset and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _tensor(storage: _Storage, offset: int, shape: tuple, strides: tuple, *_: object) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


_KNOWN: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
}


class _Unpickler(pickle.Unpickler):
    """Builds `_Tensor`s; `storages` are those that they refer to, by key."""

    def __init__(self, file: BinaryIO):
        super().__init__(file, encoding="utf-8")
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> object:
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if f"{module}.{name}" in _KNOWN:
            return _KNOWN[f"{module}.{name}"]
        raise pickle.UnpicklingError(f"it contains {module}.{name}, not only tensors")

    def persistent_load(self, pid: tuple) -> _Storage:
        kind, dtype, key, _, size, *view = pid
        if kind != "storage" or any(v is not None for v in view):
            raise pickle.UnpicklingError(f"it contains a {kind} of an unknown kind")
        storage = _Storage(key, dtype, size)
        self.storages[key] = storage
        return storage


def _read_zip(file: BinaryIO) -> tuple[object, dict[str, np.ndarray]]:
    with zipfile.ZipFile(file) as archive:
        members = archive.namelist()
        pickles = [name for name in members if name.split("/")[-1] == "data.pkl"]
        if len(pickles) != 1:
            raise ValueError("a zip archive without one data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        if folder + "byteorder" in members and archive.read(folder + "byteorder") != b"little":
            raise ValueError("written by a big-endian machine")
        with archive.open(pickles[0]) as pickled:
            unpickler = _Unpickler(pickled)  # type: ignore[arg-type]
            tree = unpickler.load()
        data = {
            key: np.frombuffer(archive.read(f"{folder}data/{key}"), storage.dtype)
            for key, storage in unpickler.storages.items()
        }
    return tree, data


def _read_stream(file: BinaryIO) -> tuple[object, dict[str, np.ndarray]]:
    if _Unpickler(file).load() != _STREAM_MAGIC:
        raise ValueError("no magic number")
    _version, machine = _Unpickler(file).load(), _Unpickler(file).load()
    if not machine["little_endian"]:
        raise ValueError("written by a big-endian machine")
    unpickler = _Unpickler(file)
    tree = unpickler.load()
    data = {}
    for key in _Unpickler(file).load():
        dtype = unpickler.storages[key].dtype
        size = int.from_bytes(file.read(8), "little")
        if size != unpickler.storages[key].size:
            raise ValueError("cut short or damaged")
        data[key] = np.frombuffer(file.read(size * dtype.itemsize), dtype)
    return tree, data


def _array(name: str, tensor: object, data: Mapping[str, np.ndarray]) -> np.ndarray:
    if not isinstance(tensor, _Tensor):
        raise ValueError(f"{name!r} is a {type(tensor).__name__}, not a tensor")
    flat = data[tensor.storage.key]
    # numpy does not check a strided view against the memory it looks at
    last = tensor.offset + sum(
        (n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    inside = min((tensor.offset, *tensor.shape, *tensor.strides)) >= 0 and last < len(flat)
    if len(flat) != tensor.storage.size or not (inside or 0 in tensor.shape):
        raise ValueError("cut short or damaged")
    strides = [stride * flat.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, strides).copy()


def read_torch(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a PyTorch state dict (`.pth`, `.pt`), by name.

    Names, layouts and dtypes are those of the file; tensors that share memory become copies.

    Raises:
      UserError: the file is missing, cut short or no PyTorch file, or it holds something other
        than one flat dictionary of float, integer or boolean tensors.
    """
    try:
        with open(path, "rb") as file:
            is_zip = file.read(len(_ZIP_START)) == _ZIP_START
            file.seek(0)
            tree, data = _read_zip(file) if is_zip else _read_stream(file)
        if not isinstance(tree, Mapping):
            raise ValueError(f"a {type(tree).__name__}, not a dictionary of tensors")
        return {str(name): _array(name, tensor, data) for name, tensor in tree.items()}
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # bytes that are no pickle can raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: not a PyTorch file of tensors, or damaged: {reason}") from error
