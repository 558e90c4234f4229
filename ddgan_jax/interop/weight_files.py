"""Files of frozen weights: locate, read, check, hash and write them."""

import hashlib
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Shape
from ddgan_jax.interop.names import plain_names
from ddgan_jax.interop.torch_file import check_regular, read_torch
from ddgan_jax.io.cache import cache_folder
from ddgan_jax.io.read_npz import read_npz
from ddgan_jax.io.run_folder import atomically
from ddgan_jax.io.storage import local_path, open_regular

Arrays = Mapping[str, np.ndarray]
Shapes = Mapping[str, Shape]


def locate(path: str, variable: str, name: str, advice: str) -> Path:
    """Find a file of weights.

    Args:
      path: the file; "": the file named by the environment variable `variable`, or else `name` in
        `io.cache.cache_folder`.
      variable: name of the environment variable.
      name: name of the file in the cache folder.
      advice: end of the error message, with "{path}" for the missing file.

    Raises:
      UserError: the file does not exist, or there is no cache folder.
    """
    given = path or os.environ.get(variable, "")
    file = local_path(given) if given else cache_folder() / name
    if not file.is_file():
        source = "" if path else f" (${variable}{'' if given else ' is not set'})"
        raise UserError(f"{file}{source}: there is no such file; {advice.format(path=file)}")
    return file


def _is_npz(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return path.suffix == ".npz"  # damaged, which numpy reports
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(".npy") for name in archive.namelist())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read arrays by name from an .npz or a PyTorch file; the content decides which it is.

    Names in a PyTorch file lose what PyTorch's wrappers add, and its floats become float32.

    Raises:
      UserError: the file is missing, truncated, or neither.
    """
    try:
        check_regular(path)
        if not _is_npz(path):
            arrays = plain_names(read_torch(path))
            floats = {k: v.astype(np.float32) for k, v in arrays.items() if v.dtype.kind == "f"}
            return {**arrays, **floats}
        with open_regular(path) as file:
            return read_npz(file)
    except UserError as error:
        raise UserError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds for damaged files
        raise UserError(f"{path}: not an .npz file, or damaged") from error


def check_arrays(arrays: Arrays, shapes: Shapes, origin: object, network: str) -> None:
    """Check that arrays have exactly the given names and shapes, and are float32.

    Args:
      arrays: the arrays of a file.
      shapes: the arrays that the network needs, by name.
      origin: the file, for the message.
      network: name of the network, for the message.

    Raises:
      UserError: an array is missing, unknown, or of another shape or dtype.
    """
    if missing := sorted(set(shapes) - set(arrays)):
        raise UserError(
            f"{origin}: not the weights of {network}: {len(missing)} of its {len(shapes)} arrays "
            f"are missing, {missing[0]!r} among them"
        )
    if extra := sorted(set(arrays) - set(shapes)):
        raise UserError(
            f"{origin}: not the weights of {network}: {len(extra)} arrays are unknown, "
            f"{extra[0]!r} among them"
        )
    for name, shape in shapes.items():
        found = arrays[name]
        if found.shape != shape or found.dtype != np.float32:
            raise UserError(
                f"{origin}: not the weights of {network}: array {name!r} is {found.dtype} "
                f"{found.shape}; float32 {shape} is needed"
            )


def content_hash(arrays: Arrays) -> str:
    """First 16 hexadecimal digits of the SHA-256 of all arrays' bytes, in the order of names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()[:16]


def file_hash(path: Path) -> str:
    """The SHA-256 of a file, hexadecimal.

    Raises:
      UserError: the file cannot be read.
    """
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error


def write_npz(path: Path, arrays: Arrays) -> None:
    """Write an .npz, and its folder if needed; the file appears only once it is complete.

    Raises:
      UserError: the file cannot be written.
    """
    contents: dict[str, Any] = dict(arrays)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomically(path) as partial, partial.open("wb") as file:
            np.savez(file, **contents)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
