"""Folders of images: which files are images, and what are their splits and classes."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.images import SUFFIXES
from ddgan_jax.io.storage import printable

_SPLITS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}
UNSORTED = "unsorted"  # class of images outside of class folders, where there are such folders


class Folder(NamedTuple):
    """The images below a folder.

    Attributes:
      root: the folder, or the archive of one.
      splits: name of each split to its images, as (path relative to `root`, index of the class).
      classes: names of the classes; empty if there are no class folders.
      skipped: what was left out and how often, such as {".txt": 2, "hidden": 1}.
    """

    root: Path
    splits: dict[str, list[tuple[Path, int]]]
    classes: tuple[str, ...]
    skipped: Counter[str]

    @property
    def summary(self) -> str:
        """One line: how many images were read, and what was skipped."""
        counts = {name: len(images) for name, images in self.splits.items()}
        text = f"{_count(sum(counts.values()), 'images')} read"
        details = [f"{name} {count:,}" for name, count in counts.items()] if len(counts) > 1 else []
        if self.classes:
            details.append(_count(len(self.classes), "classes", "class"))
        if details:
            text += f" ({', '.join(details)})"
        if self.skipped:
            kinds = ", ".join(_count(count, kind) for kind, count in self.skipped.most_common())
            text += f", {_count(self.skipped.total(), 'files')} skipped: {kinds}"
        return text


def _count(number: int, plural: str, singular: str = "") -> str:
    """A number with a noun, or with a word that has no plural such as "hidden" or ".txt"."""
    if plural.startswith("."):
        return f"{number:,} {plural}"
    return f"{number:,} {plural if number != 1 else singular or plural.removesuffix('s')}"


def scan_folder(root: Path, field: str = "", *, inside: bool = False) -> Folder:
    """Find the images below a folder, see `arranged`.

    Symbolic links are followed. Hidden files and folders and files without the suffix of an image
    are skipped and counted.

    Args:
      root: the folder.
      field: start of messages; default: "--source is ROOT".
      inside: refuse links that lead out of the folder.

    Raises:
      UserError: no such folder, no images in it, a loop of symbolic links, a link out of it, two
        folders for one split, or names that cannot be stored.
    """
    field = field or f"--source is {printable(root)}"
    if not root.is_dir():
        raise UserError(f"{field}; there is no such folder")
    skipped: Counter[str] = Counter()
    within = Path(os.path.realpath(root)) if inside else None
    return arranged(root, list(_images(root, Path(), (), skipped, within)), skipped, field)


def arranged(root: Path, paths: Iterable[Path], skipped: Counter[str], field: str) -> Folder:
    """Splits and classes of images, in the order of their sorted paths.

    The folders at the top are classes; images may lie deeper in them. If all of them are named like
    splits (train, test, validation, ...), they are splits, and the folders in them are classes.

    Args:
      root: the folder or archive, for messages.
      paths: images, relative to `root`.
      skipped: what was left out and how often.
      field: start of messages, such as "--source is photos".

    Raises:
      UserError: no images, two folders for one split, or names that cannot be stored.
    """
    images = sorted(_storable(root, path, field) for path in paths)
    if not images:
        left_out = "".join(f"; {count:,} {kind}" for kind, count in skipped.most_common(3))
        raise UserError(f"{field}; images ({' '.join(SUFFIXES)}) are needed below it{left_out}")
    splits = _splits(images, field)
    depth = 0 if set(splits) == {None} else 1  # folders above the classes
    has_classes = any(len(path.parts) > depth + 1 for path in images)
    names = {_class_name(path, depth) for path in images} if has_classes else set()
    classes = sorted(names, key=_number_first)
    number = {name: index for index, name in enumerate(classes)}
    found = {
        split or "train": [
            (path, number[_class_name(path, depth)] if has_classes else 0) for path in paths
        ]
        for split, paths in splits.items()
    }
    return Folder(root, found, tuple(classes), skipped)


def split_of(folder: str) -> str | None:
    """The split that a folder of this name holds; None: it is no name of a split."""
    return _SPLITS.get(folder.lower())


def _images(
    root: Path,
    folder: Path,
    above: tuple[tuple[int, int], ...],
    skipped: Counter[str],
    within: Path | None,
) -> Iterator[Path]:
    """Images below `root / folder`, relative to `root`.

    `above` identifies the folders above; links have to stay within `within`, if it is not None.
    """
    try:
        status = (root / folder).stat()
        entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{printable(root / folder)} cannot be read ({error.strerror})") from None
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        raise UserError(
            f"{printable(root / folder)} is a symbolic link to a folder that contains it; folders "
            "without such loops are needed"
        )
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
            skipped["hidden"] += 1
            continue
        if within and entry.is_symlink():
            _check_inside(root / path, within)
        if entry.is_dir():
            yield from _images(root, path, (*above, identity), skipped, within)
        elif not entry.is_file():
            skipped["broken links" if entry.is_symlink() else "special files"] += 1
        elif path.suffix.lower() in SUFFIXES:
            yield path
        else:
            skipped[printable(path.suffix.lower()) or "without suffix"] += 1


def _check_inside(link: Path, folder: Path) -> None:
    """Check that a link does not lead out of a folder, given by its real path.

    Raises:
      UserError: it does.
    """
    if not Path(os.path.realpath(link)).is_relative_to(folder):
        raise UserError(
            f"{printable(link)} is a link out of its folder, which is not followed; a file or "
            "folder inside is needed"
        )


def _storable(root: Path, path: Path, field: str) -> Path:
    """The path, if its names can be stored as UTF-8 text of one line."""
    try:
        path.as_posix().encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(
            f"{printable(root / path)}: the name is not UTF-8; rename the file or its folder"
        ) from None
    for name in path.parts[:-1]:
        if name != name.strip() or not name.isprintable():
            raise UserError(
                f"{field}, which has a folder {name!r}; names without line breaks and without "
                "spaces at their ends are needed"
            )
    return path


def _splits(images: list[Path], field: str) -> dict[str | None, list[Path]]:
    """Name of each split to its images; the only name is None if the folders are no splits."""
    folders = {path.parts[0] for path in images if len(path.parts) > 1}
    loose = any(len(path.parts) == 1 for path in images)
    names = {folder: split_of(folder) for folder in folders}
    if loose or not folders or None in names.values():
        found = sorted(folder for folder, split in names.items() if split)
        if len({names[folder] for folder in found}) > 1:
            others = sorted(folders - set(found)) or ["single images"]
            raise UserError(
                f"{field}, where {' and '.join(found)} name splits, and beside them there are "
                f"{printable(', '.join(others[:3]))}; splits alone, or classes alone, are needed"
            )
        return {None: images}
    splits: dict[str | None, list[Path]] = {}
    owner: dict[str | None, str] = {}
    for path in images:
        folder = path.parts[0]
        split = names[folder]
        if owner.setdefault(split, folder) != folder:
            raise UserError(
                f"{field}, where {owner[split]} and {folder} both name the split {split}; one of "
                "them is needed"
            )
        splits.setdefault(split, []).append(path)
    return splits


def _class_name(path: Path, depth: int) -> str:
    """The class folder of a relative path, below `depth` other folders."""
    return path.parts[depth] if len(path.parts) > depth + 1 else UNSORTED


def _number_first(name: str) -> tuple[bool, int, str]:
    """Sort key: numbers by their value, then other names."""
    is_number = re.fullmatch(r"[0-9]+", name) is not None
    return not is_number, int(name) if is_number else 0, name
