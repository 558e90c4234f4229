"""Writes PyTorch files without PyTorch, for tests of `interop.torch_file`."""

import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from io import BytesIO
from typing import NamedTuple

import numpy as np

STORAGES = {
    np.dtype(np.float32): "FloatStorage",
    np.dtype(np.float64): "DoubleStorage",
    np.dtype(np.int64): "LongStorage",
}
STREAM_HEADER = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True})


class View(NamedTuple):
    """A tensor that looks at a part of `memory` (1-D); offset and strides count elements."""

    memory: np.ndarray
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Storage:
    def __init__(self, array: np.ndarray, key: str):
        self.array, self.key = array, key


def _stand_ins() -> dict[str, types.ModuleType]:
    """Modules named like those that a PyTorch pickle refers to."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in STORAGES.values():
        setattr(torch, name, type(name, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2():
        raise AssertionError("only its name is wanted")

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = (
        "torch._utils",
        "_rebuild_tensor_v2",
    )
    utils._rebuild_tensor_v2, torch._utils = _rebuild_tensor_v2, utils
    return {"torch": torch, "torch._utils": utils}


class _Pickler(pickle.Pickler):
    """Arrays as tensors; `view` is the last item of a stream's storage identifiers."""

    def __init__(self, file: BytesIO, torch: types.ModuleType, view: tuple):
        super().__init__(file, protocol=2)
        self.torch, self.view, self.storages = torch, view, []

    def persistent_id(self, item):
        if not isinstance(item, _Storage):
            return None
        kind = getattr(self.torch, STORAGES[item.array.dtype])
        return ("storage", kind, item.key, "cpu", item.array.size, *self.view)

    def reducer_override(self, item):
        if isinstance(item, np.ndarray):
            item = np.ascontiguousarray(item).reshape(item.shape)
            strides = tuple(stride // item.itemsize for stride in item.strides)
            item = View(item.reshape(-1), 0, item.shape, strides)
        if not isinstance(item, View):
            return NotImplemented
        storage = _Storage(item.memory, str(len(self.storages)))
        self.storages.append(storage)
        args = (storage, *item[1:], False, OrderedDict())
        return self.torch._utils._rebuild_tensor_v2, args


def write_torch(path, tree, *, stream: bool) -> None:
    """Pickles `tree`, arrays and `View`s as tensors, as a zip archive or as the older stream."""
    modules = _stand_ins()
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        file = BytesIO()
        pickler = _Pickler(file, modules["torch"], (None,) if stream else ())
        pickler.dump(tree)
    finally:
        for name, module in before.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module
    if stream:
        with open(path, "wb") as out:
            for part in STREAM_HEADER:
                pickle.dump(part, out, protocol=2)
            out.write(file.getvalue())
            pickle.dump([s.key for s in pickler.storages], out, protocol=2)
            for storage in pickler.storages:
                out.write(storage.array.size.to_bytes(8, "little") + storage.array.tobytes())
        return
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", file.getvalue())
        archive.writestr("weights/byteorder", "little")
        for storage in pickler.storages:
            archive.writestr(f"weights/data/{storage.key}", storage.array.tobytes())
