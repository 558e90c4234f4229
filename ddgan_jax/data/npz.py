"""`npz:FILE`: the arrays `images` and `labels` of a NumPy archive, checked before they are read."""

import math
import os
import zipfile
from typing import BinaryIO

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.files import expand, open_regular
from ddgan_jax.data.source import DataKind, Request, Source, array_source
from ddgan_jax.data.splits import check_split
from ddgan_jax.data.views import select

# Images compress by less than this factor; archives made to fill the memory by more.
_MOST_COMPRESSION = 200
_ALWAYS_ALLOWED = 256 * 2**20  # bytes of an array, however well it compresses


def npz(path: str, split: str = "train") -> Source:
    """The arrays `images` and, if it is there, `labels` of an npz file.

    Args:
      path: the file; see `array_source` for the shapes of its arrays.
      split: "train" (all examples) or a part such as "train[:90%]".

    Raises:
      UserError: no such file, not an npz file, arrays that are not allowed, or another split.
    """
    return select(split, lambda name: _load(Request(argument=path, split=name)))


def _load(request: Request) -> Source:
    check_split(request.split, ("train",))
    name = f"npz:{request.argument}"
    field = f"config.data.name is {name!r}"
    try:
        with open_regular(expand(request.argument)) as opened:
            arrays = _read(opened)
    except FileNotFoundError:
        raise UserError(f"{field}; there is no such file") from None
    except UserError as error:
        raise UserError(f"{field}; {error}") from None
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds for damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{field}; it is not a readable npz file ({reason})") from None
    if "images" not in arrays:
        raise UserError(f"{field}; the file has no array 'images'")
    return array_source(name, arrays["images"], arrays.get("labels"))


def _read(opened: BinaryIO) -> dict[str, np.ndarray]:
    """The arrays `images` and `labels` of an open npz file."""
    with zipfile.ZipFile(opened) as archive:
        known = archive.namelist()
        found = [key for key in ("images", "labels") if f"{key}.npy" in known]
        for key in found:
            _check_member(archive, archive.getinfo(f"{key}.npy"))
        arrays = {}
        for key in found:
            with archive.open(f"{key}.npy") as member:
                arrays[key] = np.lib.format.read_array(member, allow_pickle=False)
        return arrays


def _check_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
    """Check the header of an array against the archive, before memory is allocated.

    Raises:
      UserError: an encrypted member, objects, or a size that the archive or the machine cannot
        hold.
    """
    array = info.filename.removesuffix(".npy")
    if info.flag_bits & 1:
        raise UserError(f"array {array!r} is encrypted, and a plain npz file is needed")
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"array {array!r} has format {version}")
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read_header(member)
        header = member.tell()
    if dtype.hasobject:
        raise UserError(f"array {array!r} holds Python objects, and numbers are needed")
    size = math.prod(shape) * dtype.itemsize
    if size != info.file_size - header or min(shape, default=0) < 0:
        raise UserError(
            f"array {array!r} is {dtype} {shape}, which is not what the file holds "
            f"({info.file_size - header} bytes): it is damaged"
        )
    if size > _memory():
        raise UserError(
            f"array {array!r} has {size / 2**30:,.1f} GiB, and the machine "
            f"{_memory() / 2**30:,.1f} GiB of memory"
        )
    if size > max(_ALWAYS_ALLOWED, _MOST_COMPRESSION * info.compress_size):
        raise UserError(
            f"array {array!r} expands from {info.compress_size / 2**20:,.1f} to "
            f"{size / 2**20:,.1f} MiB, more than {_MOST_COMPRESSION} times, as no images do"
        )


def _memory() -> int:
    """Bytes of physical memory; a large number where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 2**62


NPZ = DataKind(_load, "FILE", "the arrays `images` and `labels` of a NumPy archive")
