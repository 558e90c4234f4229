"""One case in a forked child with limits, in a folder of its own; `verdict` judges its end.

The parent imports the whole package once and never starts jax's devices. A child that refuses its
input costs about 30 ms.
"""

import contextlib
import ctypes
import faulthandler
import importlib
import os
import pkgutil
import pwd
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

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
