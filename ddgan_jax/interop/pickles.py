"""Check the size and the nesting of a pickle before it is loaded."""

import os
import pickletools
from collections.abc import Iterable
from typing import Any, BinaryIO

LARGEST_PICKLE = 2**26  # bytes; that of a checkpoint describes its tensors, and has far fewer
DEEPEST = 100  # containers in one another; functions of tuples are recursive, in C too
MOST_OPCODES = 5_000_000
_FILLING = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")


def next_pickle(file: BinaryIO, largest: int = LARGEST_PICKLE) -> bytes:
    """Read the pickle that begins at the position of `file`, which is at its end afterwards.

    Nothing is loaded: the opcodes are read, and the stack is simulated with depths for values.

    Args:
      file: can be read and sought.
      largest: bytes of the largest pickle.

    Raises:
      ValueError: the pickle is cut short, longer than `largest`, has more than
        `MOST_OPCODES` opcodes or nests deeper than `DEEPEST`.
      LookupError: an opcode takes a value that is not there.
    """
    start = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(start)
    _check_nesting(_Bounded(file, min(largest, end - start), largest))
    length = file.tell() - start
    file.seek(start)
    return file.read(length)


class _Bounded:
    """A file of which at most `left` bytes are read; for `pickletools.genops`."""

    def __init__(self, file: BinaryIO, left: int, largest: int) -> None:
        self.file, self.left, self.largest = file, left, largest
        self.cut_short = left < largest

    def _take(self, wanted: int) -> None:
        self.left -= wanted
        if self.left < 0:
            if self.cut_short and wanted <= self.largest:
                raise ValueError("cut short, or a size in it is wrong")
            raise ValueError(f"its pickle has more than {self.largest:,} bytes")

    def read(self, size: int) -> bytes:
        self._take(size)
        return self.file.read(size)

    def readline(self) -> bytes:
        line = self.file.readline(self.left + 1)
        self._take(len(line))
        return line


def _check_nesting(file: _Bounded) -> None:
    """Raise a ValueError for a pickle that is too deep or has too many opcodes."""
    stack: list[int] = []  # depth of each value; -1 for a mark
    memo: dict[Any, int] = {}
    opcodes: Iterable[tuple[pickletools.OpcodeInfo, Any, int | None]]
    opcodes = pickletools.genops(file)  # type: ignore[arg-type]
    for count, (opcode, key, _) in enumerate(opcodes):
        name, takes, gives = opcode.name, opcode.stack_before, opcode.stack_after
        if count == MOST_OPCODES:
            raise ValueError(f"its pickle has more than {MOST_OPCODES:,} opcodes")
        if name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            index: Any = len(memo) if name == "MEMOIZE" else key
            if not 0 <= index < MOST_OPCODES:  # unpicklers allocate as many entries
                raise ValueError(f"its pickle has an object number {index:,}")
            memo[index] = stack[-1]
            continue
        if name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[key])
            continue
        if name == "DUP":
            stack.append(stack[-1])
            continue
        inside, container = 0, 0  # depth of what is put into something, and of what it is put into
        taken = list(takes)
        if pickletools.markobject in takes:
            while (top := stack.pop()) >= 0:
                inside = max(inside, top)
            taken = taken[: taken.index(pickletools.markobject)]
        if name in _FILLING:
            container = stack.pop(-len(taken))
            taken = taken[1:]
        for _ in taken:
            inside = max(inside, stack.pop())
        depth = max(container, inside + 1) if takes else 0
        if depth > DEEPEST:
            raise ValueError(f"its pickle nests deeper than {DEEPEST} containers")
        for kind in gives:
            stack.append(-1 if kind is pickletools.markobject else depth)
