"""Files of frozen weights: where they lie, reading, strict checks, and a hash of what they hold."""

import hashlib
import os
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.interop.torch_file import read_torch

Arrays = Mapping[str, np.ndarray]
Shapes = Mapping[str, tuple[int, ...]]


def locate(path: str, variable: str, name: str, advice: str) -> Path:
    """The file `path`; if that is "", of the environment variable, else ~/.cache/ddgan_jax/`name`.

    Raises:
      UserError: it is not there; the line ends in `advice`, with "{path}" the missing file.
    """
    given = path or os.environ.get(variable, "")
    file = Path(given or f"~/.cache/ddgan_jax/{name}").expanduser()
    if not file.is_file():
        source = "" if path else f" (${variable}{'' if given else ' is not set'})"
        raise UserError(f"{file}{source}: there is no such file; {advice.format(path=file)}")
    return file


def _is_npz(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return path.suffix == ".npz"  # damaged, as numpy will find
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(".npy") for name in archive.namelist())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Arrays by name of an .npz or of a PyTorch file, whichever it is by its content.

    Raises:
      UserError: the file is missing, cut short, or neither.
    """
    try:
        if not _is_npz(path):
            return read_torch(path)
        # Opened here, because numpy leaves the file open if it is no archive.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error
    except (
        ValueError,
        EOFError,
        KeyError,
        NotImplementedError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise UserError(f"{path}: not an .npz file, or damaged") from error


def check_arrays(arrays: Arrays, shapes: Shapes, origin: object, network: str) -> None:
    """Nothing missing, nothing left over, every shape right, all float32.

    Args:
      arrays: what was found.
      shapes: what `network` has.
      origin, network: for the message: the file, and what it should hold.

    Raises:
      UserError: the first difference.
    """
    if missing := sorted(set(shapes) - set(arrays)):
        raise UserError(
            f"{origin}: not the weights of {network}: {len(missing)} of its {len(shapes)} arrays "
            f"are missing, {missing[0]!r} among them"
        )
    if extra := sorted(set(arrays) - set(shapes)):
        raise UserError(
            f"{origin}: not the weights of {network}: {len(extra)} arrays have no place there, "
            f"{extra[0]!r} among them"
        )
    for name, shape in shapes.items():
        found = arrays[name]
        if found.shape != shape or found.dtype != np.float32:
            raise UserError(
                f"{origin}: not the weights of {network}: array {name!r} is {found.dtype} "
                f"{found.shape}, needed: float32 {shape}"
            )


def content_hash(arrays: Arrays) -> str:
    """First 16 hexadecimal digits of the sha256 of the arrays' bytes, in order of their names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()[:16]


def write_npz(path: Path, arrays: Arrays) -> None:
    """Writes an .npz that is either whole or not there; makes the folder.

    Raises:
      UserError: it cannot be written.
    """
    path = path.expanduser()
    partial = path.with_name(path.name + ".partial")
    contents: dict[str, Any] = dict(arrays)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            np.savez(file, **contents)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"{path}: {error.strerror or error}") from error
