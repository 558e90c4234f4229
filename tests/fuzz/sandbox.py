"""One case in a forked child with limits, in a folder of its own, and what is wrong with it.

The parent imports the whole package once and never starts jax's devices. A child that refuses its
input costs about 30 ms.
"""

import contextlib
import ctypes
import faulthandler
import hashlib
import importlib
import json
import math
import os
import pkgutil
import pwd
import re
import resource
import shutil
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

import ddgan_jax

EXTRA_MEMORY = 2 * 2**30  # bytes that a case may take beyond a valid run
TIMEOUT = 120.0  # seconds
OUTSIDE = "victim"  # folder of a sandbox that no case names as an output
LONGEST_LINE = 2000


class Case(NamedTuple):
    """A command with bad input.

    Attributes:
      kind: row of the table.
      title: what is bad about it, unique within a seed.
      args: the command line; paths are relative to the sandbox, which is the current folder.
      prepare: makes the input files in the sandbox.
      expect: "refused": status 1 and a line that has one of `names`; "same": status 0 and the
        result of the valid command; "either" of these; or "any": refused, or status 0 with finite
        numbers, where the change may leave valid input with another meaning.
      names: of the file, field or flag.
      writes: what the command may write in the sandbox.
      valid: name of the valid command that results and memory are compared with.
      env: environment variables; None removes one, {root} is the sandbox.
      fresh: whether the command is started as a new program, for variables that are read when
        modules are imported.
    """

    kind: str
    title: str
    args: tuple[str, ...]
    prepare: Callable[[Path], None] = lambda root: None
    expect: str = "refused"
    names: tuple[str, ...] = ()
    writes: tuple[str, ...] = ("out",)
    valid: str = ""
    env: dict[str, str | None] = {}
    fresh: bool = False


class End(NamedTuple):
    """How a child ended: exit status (negative: signal; None: killed after `TIMEOUT`), output,
    seconds, and bytes of address space at its peak."""

    status: int | None
    out: str
    err: str
    seconds: float
    space: int


_COMMAND_FILES = re.compile(
    r"ddgan_jax\.(main|figures|scaling|convert(\..*)?|data\.prepare|.*__main__|"
    r"metrics\.(classifier|cost|digits|modes))"
)


def import_everything() -> None:
    """Import all modules of the package, so that children do not have to."""
    for module in pkgutil.walk_packages(ddgan_jax.__path__, "ddgan_jax."):
        if not _COMMAND_FILES.fullmatch(module.name):
            importlib.import_module(module.name)
    for name in ("matplotlib.pyplot", "PIL.Image", "tensorboardX", "skimage.metrics", "gzip"):
        importlib.import_module(name)


# --- the child ------------------------------------------------------------------------------------


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Sets(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


def obey_permissions() -> None:
    """Give up root's right to ignore permissions of files (CAP_DAC_OVERRIDE and _READ_SEARCH)."""
    if os.geteuid():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = _Header(0x20080522, 0), (_Sets * 2)()
    libc.capget(ctypes.byref(header), sets)
    for name in ("effective", "permitted", "inheritable"):
        setattr(sets[0], name, getattr(sets[0], name) & ~0b110)
    if libc.capset(ctypes.byref(header), sets):
        raise OSError(ctypes.get_errno(), "capset")


_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_PATHS = {  # audit event -> positions of the paths that it changes
    "os.mkdir": (0,),
    "os.remove": (0,),
    "os.rmdir": (0,),
    "os.rename": (0, 1),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.chmod": (0,),
}
_STARTS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "os.startfile")


def watch(root: Path, log: int, allowed: tuple[str, ...]) -> None:
    """Note writing outside of the sandbox, and programs that are started, in the file `log`."""
    # A path in the file systems of the kernel is never a success. Without $HOME, home is that of
    # the system's list of users, and programs are cached there.
    cache = os.path.join(pwd.getpwuid(os.getuid()).pw_dir, ".cache", "ddgan_jax")
    inside = (str(root), "/dev/", "/proc", "/sys", cache, *allowed)

    def hook(event: str, args: tuple) -> None:
        found = ""
        if event == "open":
            path, _, flags = args
            if isinstance(path, str | bytes | os.PathLike) and flags & _WRITING:
                found = _outside(path, inside)
        elif event in _PATHS:
            paths = (args[i] for i in _PATHS[event])
            found = next(filter(None, (_outside(p, inside) for p in paths)), "")
        elif event in _STARTS:
            found = str(args[0])
        if found:
            os.write(log, f"{event}: {found}\n".encode("utf-8", "backslashreplace"))

    sys.addaudithook(hook)


def _outside(path: object, inside: tuple[str, ...]) -> str:
    if not isinstance(path, str | bytes | os.PathLike):
        return ""
    full = os.path.realpath(os.path.dirname(os.path.abspath(os.fsdecode(path))))
    full = os.path.join(full, os.path.basename(os.fsdecode(path)))
    return "" if full.startswith(inside) else full


def _child(case: Case, root: Path, limit: int, seconds: float, allowed: tuple[str, ...]) -> None:
    os.setsid()
    os.chdir(root)
    log = os.open(root / ".audit", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number, name in ((1, ".stdout"), (2, ".stderr")):
        os.dup2(os.open(root / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    hang = os.open(root / ".hang", os.O_WRONLY | os.O_CREAT)
    faulthandler.dump_traceback_later(seconds - 1, file=hang)
    set_environment(os.environ, root, case.env)
    tempfile.tempdir = None
    sys.argv = ["ddgan", *case.args]
    sys.path[:] = ["", *sys.path]  # as for python -m: modules in the current folder can be imported
    obey_permissions()
    if limit:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (EXTRA_MEMORY, EXTRA_MEMORY))
    if case.fresh:
        os.environ["PYTHONPATH"] = str(Path(ddgan_jax.__file__).parents[1])
        os.environ["JAX_COMPILATION_CACHE_DIR"] = allowed[0]
        os.execv(sys.executable, [sys.executable, "-m", "ddgan_jax", *case.args])
    watch(root, log, allowed)
    from ddgan_jax.cli import run_and_exit

    run_and_exit()


def set_environment(environ: dict, root: Path, changes: dict[str, str | None]) -> None:
    """The environment of a case: folders of the sandbox, and its own changes."""
    environ |= {
        "HOME": str(root / "home"),
        "TMPDIR": str(root / "tmp"),
        "DDGAN_CACHE": str(root / "home" / "cache"),
        "MPLCONFIGDIR": str(root / "home" / "matplotlib"),
    }
    environ.pop("TFDS_DATA_DIR", None)
    for name, value in changes.items():
        if value is None:
            environ.pop(name, None)
        else:
            environ[name] = value.replace("{root}", str(root))


def run(
    case: Case,
    root: Path,
    limit: int = 0,
    seconds: float = TIMEOUT,
    allowed: tuple[str, ...] = (),
) -> End:
    """Run a case in a forked child.

    Args:
      case: the case; its files are in the sandbox already.
      root: the sandbox.
      limit: bytes of address space; 0: none.
      seconds: the child is killed after that.
      allowed: folders outside that may be written, such as that of compiled programs.
    """
    began = time.monotonic()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        status = 99
        try:
            _child(case, root, limit, seconds, allowed)
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)
    return _wait(child, root, began, seconds)


def _wait(child: int, root: Path, began: float, seconds: float) -> End:
    space, pause = 0, 0.005
    while True:
        space = max(space, _peak(child))
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code: int | None = os.waitstatus_to_exitcode(status)
            break
        if time.monotonic() - began > seconds:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            code = None
            break
        time.sleep(pause)
        pause = min(pause * 1.2, 0.05)
    out, err = ((root / name).read_text("utf-8", "replace") for name in (".stdout", ".stderr"))
    return End(code, out, err, time.monotonic() - began, space)


def _peak(child: int) -> int:
    try:
        found = re.search(r"VmPeak:\s*(\d+) kB", Path(f"/proc/{child}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


# --- the sandbox ----------------------------------------------------------------------------------

TRAP = "open('{root}/victim/executed', 'w').write('code from data was run')\n"
TRAPS = ("evil", "trap_module")  # modules in the current folder that no command may import


def make(root: Path) -> None:
    """Make the folders of a sandbox, with a victim and modules that must not be imported."""
    for name in ("home", "tmp", OUTSIDE, "in"):
        (root / name).mkdir(parents=True)
    (root / OUTSIDE / "precious.txt").write_text("do not touch")
    (root / OUTSIDE / "deep").mkdir()
    (root / OUTSIDE / "deep" / "precious.bin").write_bytes(bytes(range(256)))
    for name in TRAPS:
        (root / f"{name}.py").write_text(TRAP.format(root=root))


def remove(root: Path) -> None:
    """Delete a sandbox, whatever permissions a case has set."""
    for folder, names, _ in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    shutil.rmtree(root, ignore_errors=True)


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
