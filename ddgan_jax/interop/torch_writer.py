"""Write PyTorch checkpoint files without PyTorch."""

import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ddgan_jax.interop.torch_file import DTYPES
from ddgan_jax.io.run_folder import atomically


def write_torch(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a state dict that `torch.load(path, weights_only=True)` reads.

    Equal arrays give equal bytes. An existing file is replaced once the new one is complete.

    Args:
      path: the file to write.
      arrays: arrays by name; float, integer or boolean, with a dtype that PyTorch has.
    """
    plain = {name: np.require(a, a.dtype.newbyteorder("<"), "C") for name, a in arrays.items()}
    with atomically(path) as partial, zipfile.ZipFile(partial, "w") as archive:

        def member(name: str, content: bytes) -> None:
            archive.writestr(zipfile.ZipInfo(f"{path.stem}/{name}"), content)

        member("data.pkl", b"".join(_pickled_dictionary(plain)))
        member("byteorder", b"little")
        for key, array in enumerate(plain.values()):
            member(f"data/{key}", array.tobytes())
        member("version", b"3\n")


def _pickled_dictionary(arrays: Mapping[str, np.ndarray]) -> Iterable[bytes]:
    """The pickle of a dictionary of tensors; tensor i has its own storage, with the key i."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    # The opcodes are written directly: pickling PyTorch's classes would need PyTorch.
    yield pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + pickle.MARK
    for key, (name, array) in enumerate(arrays.items()):
        strides = tuple(stride // array.itemsize for stride in array.strides)
        yield _plain(name) + _global("torch._utils", "_rebuild_tensor_v2") + pickle.MARK
        yield pickle.MARK + _plain("storage") + _global("torch", names[array.dtype])
        yield _plain(str(key)) + _plain("cpu") + _plain(array.size)
        yield pickle.TUPLE + pickle.BINPERSID
        yield _plain(0) + _plain(array.shape) + _plain(strides)  # the first is the offset
        yield _plain(False)  # requires_grad, followed by the hooks
        yield _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
        yield pickle.TUPLE + pickle.REDUCE
    yield pickle.SETITEMS + pickle.STOP


def _plain(value: Any) -> bytes:
    """The opcodes of a string, a number or a tuple of numbers."""
    return pickle.dumps(value, protocol=2)[2:-1]  # without the opcodes that start and end a pickle


def _global(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()
