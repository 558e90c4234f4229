"""Read the arrays of a NumPy archive, each checked before memory is allocated for it."""

import math
import zipfile
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.io.storage import AnyPath, open_regular
from ddgan_jax.parallel.memory import machine_memory

# Images compress by less than this factor; archives made to fill the memory by more.
_MOST_COMPRESSION = 200
_ALWAYS_ALLOWED = 256 * 2**20  # bytes of an array, however well it compresses
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npz(opened: BinaryIO, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Read arrays of an open npz file.

    Args:
      opened: the file, see `storage.open_regular`.
      names: the arrays to read, if they are there; None: all.

    Raises:
      UserError: an encrypted member, objects, or a size that the archive or the machine cannot
        hold.
      Exception: not an npz file, or damaged; zipfile, zlib and NumPy raise many kinds.
    """
    with zipfile.ZipFile(opened) as archive:
        found = [name.removesuffix(".npy") for name in archive.namelist() if name[-4:] == ".npy"]
        chosen = [name for name in dict.fromkeys(found) if names is None or name in names]
        for name in chosen:
            _check_member(archive, archive.getinfo(f"{name}.npy"))
        arrays = {}
        for name in chosen:
            with archive.open(f"{name}.npy") as member:
                arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
        return arrays


def read_named_npz(path: AnyPath, names: Iterable[str], field: str) -> dict[str, np.ndarray]:
    """`read_npz` of the file that a field or flag of the user names.

    Args:
      path: the file.
      names: the arrays to read, if they are there.
      field: the field with its value, such as "config.space.file is 'a.npz'", for messages.

    Raises:
      UserError: no such file, not an npz file, or see `read_npz`.
    """
    try:
        with open_regular(path) as opened:
            return read_npz(opened, names)
    except FileNotFoundError:
        raise UserError(f"{field}; there is no such file") from None
    except UserError as error:
        raise UserError(f"{field}; {error}") from None
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds for damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{field}; it is not a readable npz file ({reason})") from None


def _check_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Check the header of an array against the archive, before memory is allocated.

    Raises:
      UserError: see `read_npz`.
    """
    array = info.filename.removesuffix(".npy")
    if info.flag_bits & 1:
        raise UserError(f"array {array!r} is encrypted, and a plain npz file is needed")
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        if version not in _HEADERS:
            raise ValueError(f"array {array!r} has format {version}")
        shape, _, dtype = _HEADERS[version](member)
        header = member.tell()
    if dtype.hasobject:
        raise UserError(f"array {array!r} holds Python objects, and numbers are needed")
    size = math.prod(shape) * dtype.itemsize
    if size != info.file_size - header or min(shape, default=0) < 0:
        raise UserError(
            f"array {array!r} is {dtype} {shape}, which is not what the file holds "
            f"({info.file_size - header} bytes): it is damaged"
        )
    if size > machine_memory():
        raise UserError(
            f"array {array!r} has {size / 2**30:,.1f} GiB, and the machine "
            f"{machine_memory() / 2**30:,.1f} GiB of memory"
        )
    if size > max(_ALWAYS_ALLOWED, _MOST_COMPRESSION * info.compress_size):
        raise UserError(
            f"array {array!r} expands from {info.compress_size / 2**20:,.1f} to "
            f"{size / 2**20:,.1f} MiB, more than {_MOST_COMPRESSION} times, as no images do"
        )
