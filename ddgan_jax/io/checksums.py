"""Checksums of the files of a saved checkpoint, because orbax keeps none of array values."""

import json
import os
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from ddgan_jax.core.errors import UserError
from ddgan_jax.io.read_json import TABLE, read_json
from ddgan_jax.io.run_folder import write_atomically
from ddgan_jax.io.storage import open_regular

NAME = "checksums.json"  # beside the items of a checkpoint
_CHUNK = 2**22


def write_checksums(folder: Path) -> None:
    """Write size and CRC-32 of every file of a complete checkpoint, by its relative path.

    Args:
      folder: of one checkpoint, on a disk.

    Raises:
      OSError: a file cannot be read, or the list not written.
    """
    found = {name: _sum(folder / name) for name in _files(folder)}
    write_atomically(folder / NAME, json.dumps({"crc32": found}, indent=0) + "\n")


def damaged_files(folder: Path, items: Collection[str], contents: bool = True) -> list[str]:
    """The files of some items of a checkpoint that are not what was saved, or missing.

    Args:
      folder: of one checkpoint, on a disk.
      items: names of the items, such as "ema".
      contents: whether checksums are compared too; sizes are in any case.

    Returns:
      Their relative paths; [] also for a checkpoint without checksums, of an earlier version.

    Raises:
      UserError: the list of checksums is damaged, or names a file outside of the checkpoint.
    """
    try:
        wanted = read_json(folder / NAME, {"crc32": TABLE}, folder=folder)["crc32"]
    except FileNotFoundError:
        return []
    for name in wanted:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise UserError(f"{folder / NAME} names {name!r}; files of this checkpoint are needed")
    of_items = {name: value for name, value in wanted.items() if name.split("/")[0] in items}

    def same(name: str, value: object) -> bool:
        size = str(value).split(" ")[0]
        return size == _size(folder / name) and (not contents or value == _sum(folder / name))

    return [name for name, value in of_items.items() if not same(name, value)]


def _files(folder: Path) -> list[str]:
    found = (Path(root, name) for root, _, names in os.walk(folder) for name in names)
    return sorted(path.relative_to(folder).as_posix() for path in found if path.name != NAME)


def _size(path: Path) -> str:
    """Size of a file as text; "" if there is none."""
    try:
        return str(path.stat().st_size)
    except OSError:
        return ""


def _sum(path: Path) -> str:
    """Size and CRC-32 of a file as text; "" if it cannot be read."""
    crc, size = 0, 0
    try:
        with open_regular(path) as file:
            while chunk := file.read(_CHUNK):
                crc, size = zlib.crc32(chunk, crc), size + len(chunk)
    except (OSError, UserError):  # UserError: not a regular file
        return ""
    return f"{size} {crc:08x}"
