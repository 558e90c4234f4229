"""Read and write `.safetensors`: the length of a JSON table of arrays, the table, their bytes.

Nothing in such a file can be executed. The reader checks that the arrays lie one after another and
fill the file, so that no byte belongs to two of them.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.interop.torch_file import check_regular
from ddgan_jax.io.read_json import parse
from ddgan_jax.io.run_folder import atomically

LARGEST_HEADER = 2**24  # bytes
_MOST_DIMENSIONS = 32
_DTYPES: dict[str, np.dtype] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # the upper half of a float32
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as a `.safetensors` does: a plausible length, then a JSON table."""
    try:
        check_regular(path)
        with open(path, "rb") as file:
            start = file.read(9)
    except OSError:
        return False
    length = int.from_bytes(start[:8], "little")
    return len(start) == 9 and start[8:] == b"{" and 2 <= length <= LARGEST_HEADER


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of a file.

    Returns:
      Name -> array with the file's dtype; bfloat16 as float32.

    Raises:
      UserError: the file is missing, cut short, or not a `.safetensors`.
    """
    try:
        check_regular(path)
        with open(path, "rb") as file:
            return _read(file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a .safetensors file, or damaged: {error}") from error


def _read(file: Any, size: int) -> dict[str, np.ndarray]:
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(LARGEST_HEADER, size - 8):
        raise ValueError(f"its header has {length:,} bytes")
    table = parse(file.read(length).decode("utf-8"))
    if not isinstance(table, dict):
        raise ValueError("its header is no table")
    table.pop("__metadata__", None)
    described = sorted(((_described(name, item), name) for name, item in table.items()))
    arrays, position = {}, 0
    for (start, stop, dtype, shape), name in described:
        if start != position:
            raise ValueError(f"{name[:60]!r} begins at byte {start:,}, not {position:,}")
        if stop > size - 8 - length:
            raise ValueError("cut short")
        flat = np.frombuffer(file.read(stop - start), _DTYPES[dtype])
        if dtype == "BF16":
            flat = (flat.astype(np.uint32) << 16).view(np.float32)
        arrays[name], position = flat.reshape(shape).copy(), stop
    if position != size - 8 - length:
        raise ValueError("bytes that belong to no array")
    return {name: arrays[name] for name in table}


def _described(name: str, item: Any) -> tuple[int, int, str, tuple[int, ...]]:
    """(first byte, byte after the last, dtype, shape) of an array."""
    what = f"array {name[:60]!r}"
    if not isinstance(item, dict) or not isinstance(item.get("dtype"), str):
        raise ValueError(f"{what} has no dtype")
    kind, shape, offsets = item["dtype"], _counts(item.get("shape")), item.get("data_offsets")
    if kind not in _DTYPES:
        raise ValueError(f"{what} is {kind[:20]}; {', '.join(_DTYPES)} are known")
    place = _counts(offsets)
    if shape is None or place is None or len(place) != 2 or len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"{what} has no shape or no place")
    start, stop = place
    if stop - start != math.prod(shape) * np.dtype(_DTYPES[kind]).itemsize:
        raise ValueError(f"{what} of shape {shape} has {stop - start:,} bytes")
    return start, stop, kind, shape


def _counts(value: Any) -> tuple[int, ...] | None:
    """A list of integers >= 0 as a tuple; None for anything else."""
    good = isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)
    return tuple(value) if good else None


def write_safetensors(path: Path, arrays: Mapping[str, np.ndarray], kind: str = "pt") -> None:
    """Write a file; an existing one is replaced once the new one is complete.

    Args:
      path: the file to write.
      arrays: arrays by name, with a dtype that the format has.
      kind: the library whose layouts the arrays have, "pt" or "flax".
    """
    names = {dtype: name for name, dtype in _DTYPES.items() if name != "BF16"}
    table: dict[str, Any] = {"__metadata__": {"format": kind}}
    plain, position = [], 0
    for name, array in arrays.items():
        array = np.require(array, array.dtype.newbyteorder("<"), "C")
        offsets = [position, position + array.nbytes]
        table[name] = dict(dtype=names[array.dtype], shape=list(array.shape), data_offsets=offsets)
        plain.append(array)
        position += array.nbytes
    header = json.dumps(table).encode()
    header += b" " * (-len(header) % 8)
    with atomically(path) as partial, open(partial, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for array in plain:
            file.write(array.tobytes())
