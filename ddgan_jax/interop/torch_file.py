"""Read PyTorch checkpoint files without PyTorch, and without executing their contents.

A checkpoint is a pickle in which tensors refer to storages, plus the bytes of these storages. Since
PyTorch 1.6 they are members of a zip archive. In older files, which include most published feature
networks, they are one stream: magic number, version, facts about the machine, the pickle, the names
of the storages, then length and bytes of each.

A pickle can name any function to be called on loading. This reader knows a few harmless names; any
other name (such as a trainer's settings and state) becomes an inert object, which is an error where
a tensor is expected. `interop.pickles` checks the size and the nesting of a pickle beforehand.
"""

import math
import os
import pickle
import stat
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Shape
from ddgan_jax.interop.pickles import LARGEST_PICKLE, next_pickle

_ZIP_START = b"PK\x03\x04"
_STREAM_MAGIC = 0x1950A86A20F9469CFC6C
DTYPES: dict[str, np.dtype] = {
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
# NumPy has no bfloat16: the upper half of a float32, which arrays are widened to.
_BFLOAT16 = np.dtype([("upper_half", "<u2")])
_STORAGES: dict[str, np.dtype] = {**DTYPES, "BFloat16Storage": _BFLOAT16}
_MOST_CLASSES = 10_000  # distinct names in one pickle
_MOST_ATTRIBUTES = 100_000  # of a TorchScript module, which may refer to a part several times
_LONGEST_NAME = 1_000  # of such an attribute
_LARGEST_EXPANSION = 2**20  # elements of a tensor that repeats the elements of its storage


class _StorageType(NamedTuple):
    """The class of a storage, such as torch.FloatStorage; `name` is a key of `_STORAGES`."""

    name: str


class Storage(NamedTuple):
    """A block of memory that tensors refer to; `size` counts elements."""

    key: str
    dtype: np.dtype
    size: int


class Tensor(NamedTuple):
    """A tensor of a file: a view of a storage; offset and strides count elements."""

    storage: Storage
    offset: int
    shape: Shape
    strides: tuple[int, ...]


class _Tensor:
    """Callable that makes a `Tensor`; a pickle cannot set attributes of it."""

    __slots__ = ()

    def __call__(
        self, storage: Storage, offset: int, shape: Shape, strides: tuple[int, ...], *_: object
    ) -> Tensor:
        return Tensor(storage, offset, shape, strides)


class _Parameter:
    """Callable that returns the tensor of a parameter."""

    __slots__ = ()

    def __call__(self, tensor: object, *_: object) -> object:
        return tensor


_KNOWN: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor": _Tensor(),
    "torch._utils._rebuild_tensor_v2": _Tensor(),
    "torch._utils._rebuild_parameter": _Parameter(),
}


class _Inert:
    """Replaces objects of unknown classes: accepts all calls and does nothing.

    Attributes:
      kind: dotted name of the class.
      state: what the file stores as the attributes of the object; a dictionary or nothing.
    """

    kind = ""
    state: Mapping[str, object] | None = None

    def __new__(cls, *args: object, **kwargs: object) -> "_Inert":
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object):
        pass

    def _ignore(self, *args: object) -> None:
        pass

    __setitem__ = append = extend = add = _ignore

    def __setstate__(self, state: object) -> None:
        named = isinstance(state, dict) and all(isinstance(key, str) for key in state)
        self.state = state if named else None  # type: ignore[assignment]


class InertDict(dict[Any, Any]):
    """Replaces classes that are dictionaries: keeps the items, ignores attributes."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        """Do nothing."""


class Unpickler(pickle.Unpickler):
    """Unpickler that builds `Tensor`s and collects the storages they refer to, by key.

    Its pickle has been read by `pickles.next_pickle`.
    """

    def __init__(self, data: bytes):
        super().__init__(BytesIO(data), encoding="utf-8")
        self.storages: dict[str, Storage] = {}
        self.classes: dict[str, type[_Inert]] = {}

    def find_class(self, module: str, name: str) -> object:
        """What a name of the pickle stands for; inert if it is unknown."""
        if module == "torch" and name in _STORAGES:
            return _StorageType(name)
        full = f"{module}.{name}"
        if full in _KNOWN:
            return _KNOWN[full]
        if full not in self.classes:
            if len(self.classes) == _MOST_CLASSES:
                raise pickle.UnpicklingError(f"it names more than {_MOST_CLASSES:,} classes")
            self.classes[full] = type("_Inert", (_Inert,), {"kind": full})
        return self.classes[full]

    def persistent_load(self, pid: tuple[Any, ...]) -> Storage:
        """The storage that an identifier describes."""
        kind, storage_type, key, _, size, *view = pid
        if kind != "storage" or any(v is not None for v in view):
            raise pickle.UnpicklingError(f"it contains an unknown {kind}")
        storage = Storage(key, _STORAGES[storage_type.name], size)
        self.storages[key] = storage
        return storage


Pick = Callable[[object], Mapping[str, Tensor]]


def _read_zip(file: BinaryIO, pick: Pick) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        members = archive.namelist()
        pickles = [name for name in members if name.split("/")[-1] == "data.pkl"]
        if len(pickles) != 1:
            raise ValueError("a zip archive without one data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        order = folder + "byteorder"
        if order in members and (
            archive.getinfo(order).file_size != len(b"little") or archive.read(order) != b"little"
        ):
            raise ValueError("written by a big-endian machine")
        if archive.getinfo(pickles[0]).file_size > LARGEST_PICKLE:
            raise ValueError(f"its pickle has more than {LARGEST_PICKLE:,} bytes")
        tensors = pick(_load(BytesIO(archive.read(pickles[0]))))
        storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
        data = {}
        for key, storage in storages.items():
            member = archive.getinfo(f"{folder}data/{key}")
            # PyTorch does not compress, so a member takes as much of the file as of the memory.
            if member.file_size != member.compress_size:
                raise ValueError(f"{member.filename} is compressed, as PyTorch does not write it")
            data[key] = np.frombuffer(archive.read(member), storage.dtype)
    return {name: array_of(tensor, data) for name, tensor in tensors.items()}


def _load(file: BinaryIO) -> Any:
    return Unpickler(next_pickle(file)).load()


def _open_stream(file: BinaryIO) -> Unpickler:
    """The unpickler of the stream's contents, after a check of what comes before them."""
    if _load(file) != _STREAM_MAGIC:
        raise ValueError("no magic number")
    _version, machine = _load(file), _load(file)
    if not machine["little_endian"]:
        raise ValueError("written by a big-endian machine")
    return Unpickler(next_pickle(file))


def _stream_data(file: BinaryIO, storages: Mapping[str, Storage]) -> dict[str, np.ndarray]:
    """The contents of the storages, which come last in a stream."""
    data = {}
    for key in _load(file):
        dtype = storages[key].dtype
        size = int.from_bytes(file.read(8), "little")
        begin = file.tell()
        left = file.seek(0, os.SEEK_END) - begin
        file.seek(begin)
        if size != storages[key].size or size * dtype.itemsize > left:
            raise ValueError("cut short or damaged")
        data[key] = np.frombuffer(file.read(size * dtype.itemsize), dtype)
    return data


def _read_stream(file: BinaryIO, pick: Pick) -> dict[str, np.ndarray]:
    unpickler = _open_stream(file)
    tensors = pick(unpickler.load())
    data = _stream_data(file, unpickler.storages)
    return {name: array_of(tensor, data) for name, tensor in tensors.items()}


def read_storage(stream: bytes) -> np.ndarray:
    """The storage that a stream holds by itself, as tensors are pickled without `torch.save`.

    Raises:
      Exception: of any kind, if the stream is damaged.
    """
    file = BytesIO(stream)
    unpickler = _open_stream(file)
    storage = unpickler.load()
    if not isinstance(storage, Storage):
        raise ValueError(f"a {_kind(storage)}, not a storage")
    return _stream_data(file, unpickler.storages)[storage.key]


def array_of(tensor: Tensor, data: Mapping[str, np.ndarray]) -> np.ndarray:
    """The elements of a tensor, of the storages in `data`, by key.

    Raises:
      ValueError: it has elements outside of its storage.
    """
    flat = data[tensor.storage.key]
    # as_strided does not check the view against the memory.
    last = tensor.offset + sum(
        (n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    inside = min((tensor.offset, *tensor.shape, *tensor.strides)) >= 0 and last < len(flat)
    if len(flat) != tensor.storage.size or not (inside or 0 in tensor.shape):
        raise ValueError("cut short or damaged")
    if math.prod(tensor.shape) > max(len(flat), _LARGEST_EXPANSION):
        raise ValueError(f"a tensor has the shape {tensor.shape} and {len(flat)} elements")
    strides = [stride * flat.itemsize for stride in tensor.strides]
    array = np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, strides).copy()
    if array.dtype == _BFLOAT16:
        return (array["upper_half"].astype(np.uint32) << 16).view(np.float32)
    return array


def _tensors_of_module(module: _Inert) -> dict[str, Tensor]:
    """The tensors of a TorchScript module, named by the attributes that lead to them."""
    found: dict[str, Tensor] = {}
    waiting: list[tuple[str, object]] = [("", module)]
    for _ in range(_MOST_ATTRIBUTES):
        if not waiting:
            return found
        name, value = waiting.pop()
        if isinstance(value, Tensor):
            found[name] = value
        elif isinstance(value, _Inert) and value.state:
            if len(name) > _LONGEST_NAME or len(waiting) + len(value.state) > _MOST_ATTRIBUTES:
                break
            prefix = name and name + "."
            waiting += [(f"{prefix}{key:.99}", item) for key, item in value.state.items()]
    raise ValueError("a module with too many attributes")


def tensors_of(tree: object, inside: Sequence[str] = ()) -> dict[str, Tensor]:
    """The tensors of a state dict or of a TorchScript module by name.

    Args:
      tree: the contents of a file.
      inside: see `read_torch`.

    Raises:
      ValueError: the dictionary holds anything but tensors, or there is no dictionary.
    """
    if isinstance(tree, _Inert) and tree.kind.startswith("__torch__.") and tree.state:
        return _tensors_of_module(tree)
    if isinstance(tree, Mapping):
        tree = next((tree[key] for key in inside if key in tree), tree)
    if not isinstance(tree, Mapping):
        raise ValueError(f"a {_kind(tree)}, not a dictionary of tensors")
    for name, tensor in tree.items():
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{str(name)!r} is a {_kind(tensor)}, not a tensor")
    return {str(name): tensor for name, tensor in tree.items()}


def _kind(value: object) -> str:
    return value.kind if isinstance(value, _Inert) else type(value).__name__


def read_torch(path: str | Path, inside: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Read the tensors of a PyTorch state dict (`.pth`, `.pt`), or of a TorchScript module.

    Args:
      path: the file.
      inside: keys under which a file with several dictionaries may hold the wanted one. The first
        key that exists is used; without one, the file's outermost dictionary is.

    Returns:
      Name -> array, with the file's names, layouts and dtypes; bfloat16 as float32. Tensors that
      share memory are copied.

    Raises:
      UserError: the file is missing, truncated or not a PyTorch file, or its dictionary holds
        anything but float, integer and boolean tensors.
    """
    return read_picked(path, lambda tree: tensors_of(tree, inside))


def read_picked(path: str | Path, pick: Pick) -> dict[str, np.ndarray]:
    """Read some tensors of a PyTorch file.

    Args:
      path: the file.
      pick: the contents of the file -> the tensors to read, by name. The contents are dictionaries,
        lists, tuples, numbers and texts with `Tensor`s in them; other objects are inert. An
        exception that it raises means that the file is damaged.

    Returns:
      Name -> array, see `read_torch`.

    Raises:
      UserError: see `read_torch`.
    """
    try:
        check_regular(path)
        with open(path, "rb") as file:
            is_zip = file.read(len(_ZIP_START)) == _ZIP_START
            file.seek(0)
            return _read_zip(file, pick) if is_zip else _read_stream(file, pick)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # unpickling arbitrary bytes can raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: not a PyTorch file of tensors, or damaged: {reason}") from error


def check_regular(path: str | Path) -> None:
    """Check that a path is a file or a folder: opening a pipe would wait for a writer.

    Raises:
      OSError: there is nothing, or something else.
    """
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise OSError(f"{path}: a pipe or a device, not a file")
