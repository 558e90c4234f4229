"""Where run folders live: on disks, or in object stores such as gs:// by way of etils.epath."""

import contextlib
import fcntl
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from etils import epath

from ddgan_jax.core.errors import UserError

AnyPath: TypeAlias = Path | epath.Path


def place(name: str | AnyPath) -> AnyPath:
    """The folder of that name: "runs/a", "gs://bucket/runs/a"."""
    return epath.Path(name) if "://" in str(name) else Path(name)


def is_remote(path: AnyPath) -> bool:
    """Whether it is in an object store: no appending, no locks, and files appear whole."""
    return "://" in str(path)


def copy_tree(source: AnyPath, target: AnyPath, without: tuple[str, ...] = ()) -> None:
    """Copy a folder with all that lies in it, but for what has a name in `without`."""
    target.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        if entry.name in without:
            continue
        if entry.is_dir():
            copy_tree(entry, target / entry.name, without)
        else:
            (target / entry.name).write_bytes(entry.read_bytes())


@contextlib.contextmanager
def locked(workdir: AnyPath) -> Iterator[None]:
    """Nobody else may train in `workdir` within the block.

    The kernel's lock on an open file: it ends with the process, however that ends, and holds
    between hosts on NFS. Object stores, and file systems without locks, do not know who writes:
    there it is up to the cluster to start a run once.

    Raises:
      UserError: another run has it.
    """
    if is_remote(workdir):
        yield
        return
    with open(workdir / ".lock", "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"--workdir={workdir} is in use: another run trains there; wait for its end or "
                "choose another --workdir"
            ) from None
        except OSError:  # a file system without locks
            pass
        yield


@contextlib.contextmanager
def spooled(workdir: AnyPath, *read: str) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A folder on this disk for files that grow, and a function that brings them to `workdir`.

    The folder is `workdir` itself unless that is in an object store, where nothing can be appended
    to: then what has changed is sent when the function is called, and at the end of the block.

    Args:
      workdir: where the files belong.
      read: names of files that are there first.
    """
    if not is_remote(workdir):
        yield Path(workdir), lambda: None
        return
    with tempfile.TemporaryDirectory() as name:
        local, sent = Path(name), dict[Path, tuple[int, int]]()
        for file in read:
            if (workdir / file).exists():
                (local / file).write_bytes((workdir / file).read_bytes())

        def send() -> None:
            for path in sorted(local.rglob("*")):
                stamp = (path.stat().st_mtime_ns, path.stat().st_size)
                if path.is_file() and sent.get(path) != stamp:
                    target = workdir / str(path.relative_to(local))
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(path.read_bytes())
                    sent[path] = stamp

        yield local, send
        send()
