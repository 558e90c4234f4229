"""Images in a zip file: which members are images, each read after a check of what it claims."""

import io
import stat
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.image_folder import Folder, arranged, split_of
from ddgan_jax.data.images import SUFFIXES
from ddgan_jax.io.storage import open_regular, printable

LARGEST = 256 * 2**20  # bytes of one image in the archive, uncompressed
# Images compress by less than this factor; members made to fill the memory by more.
MOST_COMPRESSION = 200
_ALWAYS_ALLOWED = 16 * 2**20  # bytes of an image, however well it compresses


class Archive(NamedTuple):
    """The images in a zip file.

    Attributes:
      folder: their splits and classes.
      open: path of an image -> its bytes as an open file.
      contents: a line for each image, in order: path, size and checksum.
    """

    folder: Folder
    open: Callable[[Path], BinaryIO]
    contents: list[str]


def scan_zip(file: Path, field: str) -> Archive:
    """Find the images in a zip file, as `image_folder.arranged`; nothing is unpacked.

    One folder around everything does not count, unless it is named like a split. Hidden files and
    folders, and files without the suffix of an image, are skipped and counted.

    Args:
      file: the zip file.
      field: start of messages, such as "config.data.name is 'folder:photos.zip'".

    Raises:
      UserError: not a readable zip file; a member whose path leaves the folder, a link, an
        encrypted one, or one that is larger than images are.
    """
    try:
        open_regular(file).close()
        archive = zipfile.ZipFile(file)  # closed with the last reference to `read`
    except OSError as error:
        raise UserError(f"{printable(file)} cannot be read ({error.strerror})") from None
    except Exception as error:  # zipfile raises many kinds for damaged files
        raise UserError(f"{field}, which is not a readable zip file ({_reason(error)})") from None
    members: dict[Path, zipfile.ZipInfo] = {}
    skipped: Counter[str] = Counter()
    for info in archive.infolist():
        if info.is_dir():
            continue
        path = _checked_path(info, field)
        if any(part.startswith(".") for part in path.parts):
            skipped["hidden"] += 1
        elif path.suffix.lower() not in SUFFIXES:
            skipped[printable(path.suffix.lower()) or "without suffix"] += 1
        elif path in members:
            raise UserError(f"{field}, which has two members {_shown(info)}; one is needed")
        else:
            _check_size(info, field)
            members[path] = info
    members = _without_outer_folder(members)
    folder = arranged(file, members, skipped, field)

    def read(path: Path) -> BinaryIO:
        info = members[path]
        try:
            with archive.open(info) as member:
                return io.BytesIO(member.read(info.file_size + 1))
        except Exception as error:
            raise UserError(
                f"{printable(file)}: {_shown(info)} is damaged ({_reason(error)})"
            ) from None

    return Archive(
        folder,
        read,
        [f"{path} {members[path].file_size} {members[path].CRC:08x}" for path in sorted(members)],
    )


def _shown(info: zipfile.ZipInfo) -> str:
    return repr(printable(info.filename))


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _checked_path(info: zipfile.ZipInfo, field: str) -> Path:
    """The path of a member, below the folder that the archive holds.

    Raises:
      UserError: an absolute path, one that leaves the folder, or a link.
    """
    name, path = info.filename, Path(info.filename)
    drive = len(name) > 1 and name[1] == ":"
    if path.is_absolute() or drive or ".." in path.parts or "\\" in name or not path.parts:
        raise UserError(
            f"{field}, which has the member {_shown(info)}; relative paths with /, without .., are "
            "needed"
        )
    if stat.S_ISLNK(info.external_attr >> 16):
        raise UserError(
            f"{field}, whose member {_shown(info)} is a link, which is not followed; files are "
            "needed"
        )
    return path


def _check_size(info: zipfile.ZipInfo, field: str) -> None:
    """Check what a member says of itself, before memory is allocated.

    Raises:
      UserError: it is encrypted, or expands to more than an image.
    """
    if info.flag_bits & 1:
        raise UserError(
            f"{field}, whose member {_shown(info)} is encrypted; a zip file without a password is "
            "needed"
        )
    most = min(LARGEST, max(_ALWAYS_ALLOWED, MOST_COMPRESSION * info.compress_size))
    if info.file_size > most:
        raise UserError(
            f"{field}, whose member {_shown(info)} expands from "
            f"{info.compress_size / 2**20:,.1f} to {info.file_size / 2**20:,.1f} MiB; at most "
            f"{LARGEST >> 20} MiB, and {MOST_COMPRESSION} times, are allowed for an image"
        )


def _without_outer_folder(members: dict[Path, zipfile.ZipInfo]) -> dict[Path, zipfile.ZipInfo]:
    """The members below the folders that hold all of them, as programs that pack folders write."""
    while True:
        outer = {path.parts[0] if len(path.parts) > 1 else "" for path in members}
        if len(outer) != 1 or "" in outer or split_of(*outer):
            return members
        members = {Path(*path.parts[1:]): info for path, info in members.items()}
