"""`folder:PATH`: a folder of images, or a zip file of one, read without a step of preparation."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.files import expand, open_regular, printable
from ddgan_jax.data.image_folder import Folder, scan_folder
from ddgan_jax.data.image_zip import scan_zip
from ddgan_jax.data.images import Fit, enlarges, open_image, read_upright
from ddgan_jax.data.source import Batch, DataKind, Request, Source
from ddgan_jax.data.splits import check_split

_ORIENTATION = 0x0112  # tag of EXIF; values of 5 and more exchange height and width


class _Images(NamedTuple):
    """The images of a folder or a zip file, opened by their paths below it."""

    folder: Folder
    open: Callable[[Path], BinaryIO]
    contents: list[str]


class _Header(NamedTuple):
    """What the first bytes of an image say."""

    height: int
    width: int
    gray: bool
    animated: bool


def folder_source(name: str, split: str, how: Fit) -> Source:
    """The images below a folder or in a zip file, decoded whenever they are read.

    `image_folder.arranged` says what their order, splits and classes are, `images.read_upright`
    how they reach their final shape. Each file is opened once here, so that files that are no
    images are found before training.

    Args:
      name: the folder or zip file, in which `~` is the home folder.
      split: name of a split: `train`, `test` or `validation`; without folders of these names all
        images are `train`.
      how: the size and number of channels that images are brought to. As many channels as stored
        are 1 if all images are gray, and else 3.

    Returns:
      Examples `{"image": uint8 [n, H, W, C], "label": int32 [n]}`; label 0 where there are no
      folders of classes.

    Raises:
      UserError: no such folder or file, no images, no such split, a path or a link that leaves the
        folder, a file that is not a readable image, or images of several sizes without
        `config.data.image_size`.
    """
    field = f"config.data.name is {f'folder:{name}'!r}"
    images = _find(expand(name), field)
    splits = images.folder.splits
    check_split(split, [split for split in ("train", "test", "validation") if split in splits])
    paths = [path for path, _ in splits[split]]
    stored = np.array([label for _, label in splits[split]], np.int32)

    def said(path: Path) -> str:
        return printable(images.folder.root / path)

    def header(path: Path) -> _Header:
        with images.open(path) as opened:
            return _header(opened, said(path), upright=not how.size)

    with ThreadPoolExecutor() as pool:
        headers = list(pool.map(header, paths))
    channels = how.channels or (1 if all(found.gray for found in headers) else 3)
    height, width = how.size, how.size
    if not how.size:
        height, width = headers[0].height, headers[0].width
        for path, found in zip(paths, headers, strict=True):
            if (found.height, found.width) != (height, width):
                raise UserError(
                    f"{field}, where {said(paths[0])} has {height}x{width} pixels and {said(path)} "
                    f"{found.height}x{found.width}; config.data.image_size, for example 64, is "
                    "needed"
                )
    shape = (height, width, channels)

    def decoded(path: Path) -> np.ndarray:
        with images.open(path) as opened:
            pixels = read_upright(opened, said(path), how._replace(channels=channels))
        if pixels.shape != shape:
            raise UserError(f"{said(path)} has shape {pixels.shape}, and {shape} is needed")
        return pixels

    def take(indices: np.ndarray) -> Batch:
        chosen = np.asarray(indices)
        return {"image": np.stack([decoded(paths[i]) for i in chosen]), "label": stored[chosen]}

    return Source(
        name=f"folder:{name}",
        size=len(paths),
        shape=shape,
        take=take,
        classes=images.folder.classes,
        labeled=bool(images.folder.classes),
        labels=lambda: stored,
        notes=_notes(images.folder, headers, how),
        contents=hashlib.sha256("\n".join(images.contents).encode()).hexdigest(),
    )


def _find(where: Path, field: str) -> _Images:
    """The images below a folder or in a zip file.

    Raises:
      UserError: see `scan_folder` and `scan_zip`.
    """
    if where.is_dir():
        folder = scan_folder(where, field, inside=True)
        paths = [path for images in folder.splits.values() for path, _ in images]
        sizes = [f"{path} {(where / path).stat().st_size}" for path in sorted(paths)]
        return _Images(folder, lambda path: _open(where / path), sizes)
    if not where.exists():
        raise UserError(f"{field}; there is no such folder or zip file")
    return _Images(*scan_zip(where, field))


def _open(file: Path) -> BinaryIO:
    """Open an image of a folder.

    Raises:
      UserError: it cannot be read.
    """
    try:
        return open_regular(file)
    except OSError as error:
        raise UserError(f"{printable(file)} cannot be read ({error.strerror})") from None


def _header(opened: BinaryIO, what: str, upright: bool) -> _Header:
    """Size and kind of an image; with `upright` the size as the camera was held."""
    with open_image(opened, what) as image:
        width, height = image.size
        if upright and image.getexif().get(_ORIENTATION, 1) > 4:
            width, height = height, width
        gray = image.mode in ("1", "L", "LA", "La")
        moves = image.format != "MPO" and bool(getattr(image, "is_animated", False))
        return _Header(height, width, gray, moves)


def _notes(folder: Folder, headers: list[_Header], how: Fit) -> tuple[str, ...]:
    """What the user should know of the images, one line each."""
    larger = sum(enlarges(header.height, header.width, how) for header in headers)
    counts = {
        f"enlarged to {how.size} pixels": larger,
        "animated (first frame read)": sum(header.animated for header in headers),
    }
    notes = [f"{count:,} {note}" for note, count in counts.items() if count]
    found = "; ".join([folder.summary, *notes])
    if {"test", "validation"} & folder.splits.keys():
        return (found,)
    return (
        found,
        "there is no folder test or validation: an evaluation compares samples with the images of "
        "config.eval.split, by default all of train; config.data.split='train[:90%]' and "
        "config.eval.split='train[90%:]' hold some out",
    )


def _load(request: Request) -> Source:
    return folder_source(request.argument, request.split, request.fit)


FOLDER = DataKind(_load, "PATH", "images below a folder or in a zip file, as they are")
