"""Judge the end of a case: what it printed, wrote and changed, against a valid run."""

import hashlib
import json
import math
import os
import re
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.fuzz.sandbox import LONGEST_LINE, Case, End


def snapshot(root: Path, without: tuple[str, ...]) -> dict[str, tuple]:
    """Everything in the sandbox but `without`: kind, permissions, size and content or target."""
    left_out = {str(root / name) for name in (*without, ".stdout", ".stderr", ".audit", ".hang")}
    found = {}
    for folder, names, files in os.walk(root):
        for name in (*names, *files):
            path = os.path.join(folder, name)
            if path in left_out:
                continue
            status = os.lstat(path)
            content: object = None
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                content = (status.st_size, status.st_mtime_ns)
            found[os.path.relpath(path, root)] = (status.st_mode, content)
        names[:] = [name for name in names if os.path.join(folder, name) not in left_out]
    return found


# --- the oracle -----------------------------------------------------------------------------------

_TIMES = re.compile(
    r"seconds|per_second|speed|time|date|version|platform|device|machine|hash|cores"
)


def result(root: Path, writes: tuple[str, ...]) -> dict[str, object]:
    """What a command wrote, comparable: names, arrays of npz files, numbers of JSON files."""
    found: dict[str, object] = {}
    for name in writes:
        for path in sorted((root / name).rglob("*")):
            if not path.is_file() or path.is_symlink() or "checkpoints" in path.parts:
                continue
            key = str(path.relative_to(root))
            if path.suffix == ".npz":
                with np.load(path, allow_pickle=False) as arrays:
                    found[key] = {k: _digest(arrays[k]) for k in arrays.files}
            elif path.name.endswith((".json", ".jsonl")):
                found[key] = _numbers(path)
            elif path.suffix in (".png", ".md", ".html", ".pth"):
                found[key] = "written"
    return found


def _digest(array: np.ndarray) -> str:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return "not finite"
    return f"{array.dtype} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()[:16]}"


def _numbers(path: Path) -> object:
    try:
        lines = (
            [json.loads(line) for line in path.read_text().splitlines()]
            if (path.suffix == ".jsonl")
            else json.loads(path.read_text())
        )
    except ValueError:
        return "not JSON"

    def kept(value: object) -> object:
        if isinstance(value, dict):
            return {k: kept(v) for k, v in value.items() if not _TIMES.search(k)}
        if isinstance(value, list):
            return [kept(v) for v in value]
        if isinstance(value, float) and not math.isfinite(value):
            return "not finite"
        return value

    return kept(lines)


_MEMORY = re.compile(
    r"out of memory|Unable to allocate|bad_alloc|MemoryError|cannot allocate", re.I
)


def faults(
    case: Case,
    end: End,
    root: Path,
    before: dict[str, tuple],
    good: Callable[[], dict[str, object]],
) -> list[str]:
    """What is wrong with how a case ended; [] if nothing is. `good` gives the valid result."""
    wrong = []
    both = end.out + end.err
    if end.status is None:
        trace = (root / ".hang").read_text()
        return [f"hangs: {' < '.join(re.findall(r'File .*?([^/]+), line', trace)[:6])}"]
    if end.status < 0:
        return [f"died by {signal.Signals(-end.status).name}: {end.err[-300:]}"]
    if "Traceback (most recent" in both or re.search(r'^  File ".*", line \d+', both, re.M):
        wrong.append("a traceback")
    if "Warning" in end.err:
        wrong.append("a warning of a library")
    if _MEMORY.search(end.err):
        wrong.append("takes too much memory")
    lines = end.err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    if end.status == 0:
        if case.expect == "refused":
            wrong.append("status 0 on garbage")
        if errors:
            wrong.append("an error, and status 0")
        now = result(root, case.writes)
        if "not finite" in str(now) and "not finite" not in str(good()):
            wrong.append("numbers that are not finite")
        if case.expect in ("same", "either") and now != good():
            wrong.append(f"status 0, but another result: {_difference(now, good())}")
    else:
        if end.status != 1:
            wrong.append(f"status {end.status}")
        if case.expect == "same":
            wrong.append("refuses valid input")
        if len(errors) != 1 or lines[-1:] != errors:
            wrong.append(f"{len(errors)} error lines, last line {lines[-1:]}")
        if others := [x for x in lines if not x.startswith(("error: ", "warning: "))]:
            wrong.append(f"other lines: {others[0][:200]}")
        if errors and case.names and not any(_is_named(name, errors[0]) for name in case.names):
            wrong.append(f"names none of {', '.join(case.names)[:200]}")
        if errors and len(errors[0]) > LONGEST_LINE:
            wrong.append(f"a line of {len(errors[0])} characters")
    after = snapshot(root, (*case.writes, "home"))
    changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    changed = [n for n in changed if not (n.startswith("tmp/ddgan_jax_error_") or n == "tmp")]
    if changed:
        wrong.append(f"changes {sorted(changed)[:3]}")
    for name in case.writes:
        left = [p.name for p in (root / name).rglob("*") if ".tmp" in p.name]
        if left:
            wrong.append(f"leaves {left[:2]}")
    if noted := (root / ".audit").read_text("utf-8", "replace").splitlines():
        wrong.append(f"outside of the sandbox: {noted[0][:300]}")
    return wrong


def _is_named(name: str, line: str) -> bool:
    """Whether a line has a name, as it is or with escapes and without line breaks."""
    escaped = name.encode("utf-8", "backslashreplace").decode()
    forms = [name, escaped, os.fsencode(name).decode("utf-8", "backslashreplace"), repr(name)[1:-1]]
    forms += [repr(form)[1:-1] for form in forms] + [" ".join(form.split()) for form in forms]
    return any(form and form in line for form in forms)


def _difference(now: dict, good: dict) -> str:
    names = [name for name in now.keys() | good.keys() if now.get(name) != good.get(name)]
    return ", ".join(
        f"{name}: {str(now.get(name))[:150]} instead of {str(good.get(name))[:150]}"
        for name in sorted(names)[:2]
    )
