"""Storage of run folders: on disks, or in object stores (gs://, s3://) through etils.epath."""

import contextlib
import fcntl
import importlib.util
import io
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from etils import epath

from ddgan_jax.core.errors import UserError

AnyPath: TypeAlias = Path | epath.Path

# Orbax finds the files of each process by a pattern that begins with the path of the checkpoint;
# with one of these characters in the path it finds none, and the checkpoint has no arrays.
_PATTERN_CHARACTERS = "*?[]\\"


HUB = "hf://"  # see io.hub
PRETRAINED = "pretrained://"  # runs that come with the package
_SHIPPED = Path(__file__).parents[1] / "pretrained"
_STORES = {"gs": "gcsfs", "s3": "s3fs"}  # scheme -> the package that reads and writes it


def as_path(name: str | AnyPath) -> AnyPath:
    """The path of a name such as "runs/a", "~/runs/a", "gs://bucket/runs/a", "pretrained://NAME".

    Raises:
      UserError: the name cannot be a path, what its object store needs is not installed, or no such
        run comes with the package.
    """
    if not isinstance(name, str | os.PathLike):
        raise UserError(f"{name!r} is no path; text or a path is needed")
    scheme, separator, rest = str(name).partition("://")
    if not separator:
        return local_path(name)
    if f"{scheme}://" == PRETRAINED:
        return _shipped(str(name), rest)
    if str(name).startswith(HUB):
        raise UserError(
            f"{printable(name)}: a run of the hub is only read, as by sample or export; a path "
            "on a disk, gs:// or s3://, is needed here"
        )
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


def _shipped(name: str, run: str) -> Path:
    found = sorted(folder.name for folder in _SHIPPED.iterdir())
    if run not in found:
        allowed = ", ".join(PRETRAINED + other for other in found)
        raise UserError(f"{printable(name)}: no such run comes with the package; {allowed}")
    return _SHIPPED / run


def name_of(folder: AnyPath) -> str:
    """`pretrained://NAME` of a run that comes with the package; "" of another folder."""
    inside = isinstance(folder, Path) and folder.absolute().parent == _SHIPPED.absolute()
    return f"{PRETRAINED}{folder.name}" if inside else ""


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
    path = Path(text)
    if str(path).startswith("~") and not text.startswith("~"):  # "./~" is not the home folder
        return path.absolute()
    try:
        return path.expanduser()
    except RuntimeError:
        raise UserError(
            f"{printable(text)}: the home folder is not known; a full path is needed"
        ) from None


def printable(name: str | os.PathLike[str]) -> str:
    r"""The name as text that can be printed; bytes that are not UTF-8 become `\xNN`."""
    try:
        return os.fsencode(name).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a pair of code units, which no file system has
        return ascii(name)


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _collapsed_scheme(name: str) -> str:
    """The scheme of "gs:/bucket", which `Path("gs://bucket")` makes; "" for other names."""
    scheme, colon, rest = name.partition(":")
    return scheme if colon and scheme in _STORES and rest.startswith("/") else ""


def is_remote(path: AnyPath) -> bool:
    """Whether a path is in an object store, which has no appending and no locks."""
    return "://" in str(path)


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file for reading.

    Opening a named pipe would wait for a writer, and a device may never end; both are refused.

    Raises:
      FileNotFoundError: there is no such file.
      UserError: the path names something else than a regular file.
    """
    # O_NONBLOCK, so that opening a named pipe returns at once.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{path} is not a regular file; a regular file is needed")
    return os.fdopen(descriptor, "rb")


def check_name(flag: str, folder: AnyPath) -> None:
    """Check that checkpoints can be saved below `folder`, which `flag` names.

    Raises:
      UserError: its full path has a character of file patterns.
    """
    full = str(folder) if is_remote(folder) else os.path.realpath(folder)
    found = next((c for c in _PATTERN_CHARACTERS if c in full), None)
    if found:
        raise UserError(
            f"{flag}={folder} has {found!r} in its full path, with which checkpoints would lose "
            f"their arrays; a path without any of {' '.join(_PATTERN_CHARACTERS)} is needed"
        )


def check_inside(path: AnyPath, folder: AnyPath) -> None:
    """Check that a path in a run folder is not a link to something outside of it.

    Raises:
      UserError: it is.
    """
    if is_remote(path):
        return
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise UserError(
            f"{path} is a link out of {folder}, which is not followed; a file or folder inside is "
            "needed"
        )


def check_links(workdir: AnyPath) -> None:
    """Check that no file or folder directly in a run folder is a link out of it.

    Raises:
      UserError: one is.
    """
    if is_remote(workdir) or not workdir.is_dir():
        return
    with os.scandir(workdir) as entries:
        for entry in entries:
            if entry.is_symlink():
                check_inside(Path(entry.path), workdir)


def check_tree(folder: AnyPath, workdir: AnyPath) -> None:
    """Check that everything in a folder, at any depth, is in the run folder, also what links name.

    Raises:
      UserError: a link out of the run folder, or something that is neither a file nor a folder.
    """
    if is_remote(folder):
        return
    check_inside(folder, workdir)
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root, name)
            check_inside(path, workdir)
            with contextlib.suppress(FileNotFoundError):
                mode = path.stat().st_mode
                if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    raise UserError(f"{path} is neither a file nor a folder; it cannot be read")


def copy_file(source: AnyPath, target: AnyPath, folder: AnyPath) -> None:
    """Copy a regular file of a run folder.

    Args:
      source: the file.
      target: the new file.
      folder: the run folder that `source` has to be in, also if it is a link.

    Raises:
      UserError: not a regular file, or a link out of the folder.
    """
    check_inside(source, folder)
    if not is_remote(source) and not stat.S_ISREG(os.stat(source).st_mode):
        raise UserError(f"{source} cannot be copied: it is not a regular file")
    target.write_bytes(source.read_bytes())


def copy_tree(
    source: AnyPath,
    target: AnyPath,
    without: tuple[str, ...] = (),
    folder: AnyPath | None = None,
) -> None:
    """Copy a folder recursively, except for files and folders whose names are in `without`.

    Args:
      source: the folder.
      target: the copy.
      without: names that are left out.
      folder: the run folder that everything has to be in, also if it is a link; None: `source`.

    Raises:
      UserError: see `copy_file`; or a loop of links.
    """
    folder = source if folder is None else folder
    check_inside(source, folder)
    target.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        if entry.name in without:
            continue
        if entry.is_dir():
            if not is_remote(entry) and Path(os.path.realpath(source)).is_relative_to(
                os.path.realpath(entry)
            ):
                raise UserError(f"{entry} cannot be copied: it is a link to a folder around it")
            copy_tree(entry, target / entry.name, without, folder)
        else:
            copy_file(entry, target / entry.name, folder)


@contextlib.contextmanager
def locked(workdir: AnyPath) -> Iterator[Callable[[], None]]:
    """Lock a run folder against other training processes within the block.

    These are the kernel's locks on the open file `.lock` and on the folder itself: they are
    released when the process ends in any way, and the first works across hosts on NFS. The second
    remains if `.lock` is deleted. Object stores and file systems without locks are not protected.

    Yields:
      A function to call before saving: it locks `.lock` again if the file was deleted or replaced.
      It raises a UserError if another process has locked the new one, and an OSError if the folder
      is gone.

    Raises:
      UserError: another process holds a lock.
    """
    if is_remote(workdir):
        yield lambda: None
        return
    path = workdir / ".lock"
    with contextlib.ExitStack() as held:

        def lock(name: AnyPath, flags: int) -> int:
            descriptor = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
            held.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"--workdir={workdir} is in use by another training run; wait for its end or "
                    "choose another --workdir"
                ) from None
            except OSError:  # a file system without locks
                pass
            return descriptor

        file = lock(path, os.O_RDWR | os.O_CREAT)
        lock(Path(os.path.realpath(workdir)), os.O_RDONLY | os.O_DIRECTORY)

        def keep() -> None:
            nonlocal file
            try:
                if os.path.samestat(os.fstat(file), os.lstat(path)):
                    return
            except FileNotFoundError:
                pass
            file = lock(path, os.O_RDWR | os.O_CREAT)

        yield keep


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

        try:
            yield local, send
        except BaseException:  # what was logged so far may tell why
            with contextlib.suppress(Exception):  # the first error is reported
                send()
            raise
        send()
