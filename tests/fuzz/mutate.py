"""Bad content and bad things in the place of files, generated from valid ones."""

import copy
import io
import json
import os
import random
import shutil
import socket
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Random = random.Random


# --- bytes ----------------------------------------------------------------------------------------


def _flip(rng: Random, data: bytes) -> tuple[str, bytes]:
    changed, bits = bytearray(data), rng.choice((1, 1, 8))
    places = [rng.randrange(len(data)) for _ in range(bits)]
    for place in places:
        changed[place] ^= 1 << rng.randrange(8)
    return f"bits flipped in bytes {places}", bytes(changed)


def _cut(rng: Random, data: bytes) -> tuple[str, bytes]:
    length = rng.randrange(len(data))
    return f"cut to {length} of {len(data)} bytes", data[:length]


def _zeros(rng: Random, data: bytes) -> tuple[str, bytes]:
    start = rng.randrange(len(data))
    size = rng.randint(1, len(data) - start)
    return f"zeros in {start}:{start + size}", data[:start] + bytes(size) + data[start + size :]


def _noise(rng: Random, data: bytes) -> tuple[str, bytes]:
    size = rng.choice((1, 100, len(data)))
    return f"{size} random bytes instead", rng.randbytes(size)


def _block(rng: Random, data: bytes) -> tuple[str, bytes]:
    start, size = rng.randrange(len(data)), rng.randint(1, 16)
    new = rng.choice((b"\xff", b"\x00", b"\x80", b"9")) * size
    return f"{new[:1]!r} * {size} at {start}", data[:start] + new + data[start + size :]


_BYTES = (_flip, _flip, _cut, _zeros, _noise, _block)


def of_bytes(rng: Random, data: bytes) -> tuple[str, bytes]:
    """(title, other bytes)."""
    if not data or rng.random() < 0.08:
        return "emptied", b""
    while True:
        title, changed = rng.choice(_BYTES)(rng, data)
        if changed != data:
            return title, changed


# --- JSON -----------------------------------------------------------------------------------------

_RAW = {  # texts that stand for a value
    "nested 10,000 deep": "[" * 10_000 + "]" * 10_000,
    "nested 200 deep": '{"a":' * 200 + "1" + "}" * 200,
    "5,000 digits": "9" * 5_000,
    "1e999": "1e999",
    "NaN": "NaN",
    "-Infinity": "-Infinity",
    "half of a surrogate": '"\\ud800"',
    "not JSON": "{,}",
    "a list of 100,000": "[" + "0," * 99_999 + "0]",
}
_VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "text": "xyz",
    "empty text": "",
    "list": [],
    "list of lists": [[[]]],
    "table": {},
    "table with odd keys": {"": 1, "a.b": 2, "\n": 3},
    "-1": -1,
    "0": 0,
    "0.5": 0.5,
    "2^63": 2**63,
    "10^30": 10**30,
    "1e308": 1e308,
    "class": "evil.Evil",
    "code": "evil:attribute",
    "path": "../../victim/precious.txt",
    "format": "{0.__class__.__init__.__globals__}",
    "HTML": "<script>alert(1)</script>",
    "TeX": "$\\frac{$",
    "lines": "a\nb\u2028c\u0000d",
    "long text": "x" * 10**6,
}


def paths(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The paths of all values in a JSON value."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(inner, (*path, key))


def at(value: Any, path: tuple) -> Any:
    """The value at a path."""
    for key in path:
        value = value[key]
    return value


def replaced(value: Any, path: tuple, new: Any) -> Any:
    """A copy of a JSON value with another value at a path."""
    if not path:
        return new
    result = copy.deepcopy(value)
    at(result, path[:-1])[path[-1]] = new
    return result


def of_json(rng: Random, text: str) -> tuple[str, bytes]:
    """Change a value of a JSON text.

    Returns:
      (title, new content).
    """
    value = json.loads(text)
    path = rng.choice(list(paths(value)))
    shown = ".".join(map(str, path)) or "the whole file"
    if path and rng.random() < 0.2:
        result = copy.deepcopy(value)
        del at(result, path[:-1])[path[-1]]
        return f"{shown} is missing", json.dumps(result).encode()
    if rng.random() < 0.35:
        what = rng.choice(list(_RAW))
        marked = json.dumps(replaced(value, path, "@@@"))
        return f"{shown} is {what}", marked.replace('"@@@"', _RAW[what]).encode()
    what = rng.choice(list(_VALUES))
    new = json.dumps(replaced(value, path, _VALUES[what])).encode()
    return f"{shown} is {what}", new


# --- things in the place of a file ----------------------------------------------------------------


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    before = os.getcwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(before)


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**36)  # holes: it takes no space on the disk


def _unreadable(path: Path) -> None:
    path.write_bytes(b"secret")
    path.chmod(0)


PLACES: dict[str, Callable[[Path], None]] = {
    "a FIFO": _fifo,
    "a socket": _socket,
    "a folder": lambda path: path.mkdir(),
    "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "a link to /dev/full": lambda path: path.symlink_to("/dev/full"),
    "a link to a folder": lambda path: path.symlink_to("/etc"),
    "a broken link": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "64 GiB of zeros": _huge,
    "unreadable": _unreadable,
    "empty": lambda path: path.write_bytes(b""),
}


def put(what: str, path: Path) -> None:
    """Put one of `PLACES` in the place of a file or folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    PLACES[what](path)


# --- npz files ------------------------------------------------------------------------------------


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def header(text: str, payload: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    """An npy file with a header of any text."""
    text += " " * (-(len(text) + 11) % 64) + "\n"
    size = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + size + text.encode("latin1") + payload


def _head(shape: str, dtype: str = "'|u1'", order: str = "False") -> str:
    return f"{{'descr': {dtype}, 'fortran_order': {order}, 'shape': {shape}, }}"


class _Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (exec, ("open('victim/executed', 'w')",))


BAD_ARRAYS: dict[str, Callable[[], bytes]] = {  # in the place of `images`; refused by all
    "of 10^12 bytes": lambda: header(_head("(1000000, 1000, 1000, 1)"), b"x" * 100),
    "of 10^30 bytes": lambda: header(_head(f"({10**30},)"), b"x"),
    "of 2^63 bytes": lambda: header(_head(f"({2**31}, {2**32})"), b"x"),
    "of a negative shape": lambda: header(_head("(-1, 8, 8, 1)"), b"x" * 64),
    "of a shape with text": lambda: header(_head("('a',)"), b"x"),
    "of a nested shape": lambda: header(_head("(" * 200 + ")" * 200), b"x"),
    "of a shape with True": lambda: header(_head("(True, 8, 8, 1)"), b"x" * 64),
    "with a header of code": lambda: header("__import__('evil')", b"x"),
    "with a header of one field": lambda: header("{'descr': '|u1'}", b"x"),
    "with a header of 4 GiB": lambda: b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
    "of version 9": lambda: header(_head("(1,)"), b"x", (9, 9)),
    "of objects": lambda: _npy(np.array([_Evil()] * 4, object)),
    "of an unknown type": lambda: header(_head("(4, 8, 8, 1)", "'<z9'"), b"x" * 256),
    "of texts of 10^9": lambda: header(_head("(4,)", "'<U1000000000'"), b"x" * 64),
    "of records": lambda: _npy(np.zeros(4, [("a", "u1"), ("b", "f4")])),
    "of dates": lambda: _npy(np.zeros((4, 8, 8, 1), "M8[s]")),
    "of complex numbers": lambda: _npy(np.zeros((4, 8, 8, 1), np.complex64)),
    "of texts": lambda: _npy(np.array(["a", "b"])),
    "without elements": lambda: _npy(np.zeros((0, 8, 8, 1), np.uint8)),
    "of empty images": lambda: _npy(np.zeros((4, 0, 0, 1), np.uint8)),
    "of one number": lambda: _npy(np.uint8(3)),
    "of seven dimensions": lambda: _npy(np.zeros((1, 2, 1, 2, 1, 2, 1), np.uint8)),
    "of NaN": lambda: _npy(np.full((64, 8, 8, 1), np.nan, np.float32)),
    "of infinity": lambda: _npy(np.full((64, 8, 8, 1), np.inf, np.float32)),
    "of 1e300": lambda: _npy(np.full((64, 8, 8, 1), 1e300)),
    "of seven channels": lambda: _npy(np.zeros((64, 8, 8, 7), np.uint8)),
    "that is cut": lambda: _npy(np.zeros((64, 8, 8, 1), np.uint8))[:-99],
    "that is too long": lambda: _npy(np.zeros((64, 8, 8, 1), np.uint8)) + b"more" * 9,
    "that is empty": lambda: b"",
}


def npz_with(path: Path, members: dict[str, bytes], **how: Any) -> None:
    """Write a zip archive of npy files."""
    with zipfile.ZipFile(path, "w", **how) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def members(path: Path) -> dict[str, bytes]:
    """The members of a zip archive."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zip_bomb(path: Path, name: str, gigabytes: int = 3) -> None:
    """An archive whose member expands to several GiB of zeros, with a fitting header."""
    size = gigabytes * 2**30
    chunk = bytes(2**24)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(name, "w", force_zip64=True) as member,
    ):
        member.write(header(_head(f"({size // 64}, 8, 8, 1)")))
        for _ in range(size // len(chunk)):
            member.write(chunk)


def encrypted(path: Path) -> None:
    """Set the bit of encryption of the first member."""
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 8] |= 1
    data[6] |= 1
    path.write_bytes(data)


def lying_size(path: Path, size: int) -> None:
    """Let the central directory say another size of the first member."""
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 24 : central + 28] = struct.pack("<I", size)
    path.write_bytes(data)
