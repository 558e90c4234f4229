"""Storage of run folders: on disks, or in object stores (gs://, s3://) through etils.epath."""

import contextlib
import fcntl
import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from etils import epath

from ddgan_jax.core.errors import UserError

AnyPath: TypeAlias = Path | epath.Path


_STORES = {"gs": "gcsfs", "s3": "s3fs"}  # scheme -> the package that reads and writes it


def as_path(name: str | AnyPath) -> AnyPath:
    """The path of a name such as "runs/a", "~/runs/a" or "gs://bucket/runs/a".

    Raises:
      UserError: the name cannot be a path, or what its object store needs is not installed.
    """
    scheme, separator, rest = str(name).partition("://")
    if not separator:
        return local_path(name)
    if scheme not in _STORES:
        raise UserError(
            f"{printable(name)}: a path on a disk, or one that begins with "
            f"{' or '.join(f'{known}://' for known in _STORES)}, is needed"
        )
    if not rest.strip("/"):
        raise UserError(f"{printable(name)}: {scheme}://BUCKET/FOLDER is needed")
    if not _installed(_STORES[scheme]):
        raise UserError(
            f"{printable(name)}: the package {_STORES[scheme]} is needed; "
            f"pip install {_STORES[scheme]}"
        )
    return epath.Path(name)


def local_path(name: str | os.PathLike[str]) -> Path:
    """The path of a name on a disk, with `~` and `~user` replaced by the home folder.

    Raises:
      UserError: the name is one of an object store, not UTF-8 or has a null byte; or the home
        folder is not known.
    """
    text = os.fspath(name)
    if "://" in text:
        raise UserError(f"{printable(text)}: a path on a disk is needed")
    if scheme := _collapsed_scheme(text):
        raise UserError(f"{printable(text)}: {scheme}:// with two slashes is needed")
    try:
        os.path.abspath(text).encode()
    except UnicodeEncodeError:
        raise UserError(f"{printable(text)}: a name in UTF-8 is needed") from None
    except FileNotFoundError:
        raise UserError(f"{printable(text)}: the current folder does not exist any more") from None
    if "\0" in text:
        raise UserError(f"{printable(text)!r}: a name without null bytes is needed")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UserError(
            f"{printable(text)}: the home folder is not known; a full path is needed"
        ) from None


def printable(name: str | os.PathLike[str]) -> str:
    r"""The name as text that can be printed; bytes that are not UTF-8 become `\xNN`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _collapsed_scheme(name: str) -> str:
    """The scheme of "gs:/bucket", which `Path("gs://bucket")` makes; "" for other names."""
    scheme, colon, rest = name.partition(":")
    return scheme if colon and scheme in _STORES and rest.startswith("/") else ""


def is_remote(path: AnyPath) -> bool:
    """Whether a path is in an object store, which has no appending and no locks."""
    return "://" in str(path)


def copy_tree(source: AnyPath, target: AnyPath, without: tuple[str, ...] = ()) -> None:
    """Copy a folder recursively, except for files and folders whose names are in `without`."""
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
    """Lock a run folder against other training processes within the block.

    This is the kernel's lock on an open file: it is released when the process ends in any way, and
    works across hosts on NFS. Object stores and file systems without locks are not protected.

    Raises:
      UserError: another process holds the lock.
    """
    if is_remote(workdir):
        yield
        return
    with open(workdir / ".lock", "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"--workdir={workdir} is in use by another training run; wait for its end or "
                "choose another --workdir"
            ) from None
        except OSError:  # a file system without locks
            pass
        yield


@contextlib.contextmanager
def spooled(workdir: AnyPath, *read: str) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A local folder for files that are appended to, such as logs, in `workdir`.

    If `workdir` is on a disk, the folder is `workdir` itself. If it is in an object store, the
    folder is a temporary one whose changed files are uploaded by the function and on exit.

    Args:
      workdir: the run folder.
      *read: names of files to download first, if they exist.

    Yields:
      (folder, function that uploads the changed files).
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
