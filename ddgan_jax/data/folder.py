"""`folder:PATH`: a folder of images, or a zip file of one, read without a step of preparation."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.encoded import Encoded, encoded_source
from ddgan_jax.data.image_folder import Folder, scan_folder
from ddgan_jax.data.image_zip import scan_zip
from ddgan_jax.data.images import Fit
from ddgan_jax.data.source import DataKind, Request, Source
from ddgan_jax.data.splits import check_split
from ddgan_jax.io.storage import AnyPath, is_remote, local_path, open_regular, printable


def check_apart(name: str, workdir: AnyPath) -> None:
    """Check that a run folder is not among the images of a run, to which it would add pictures.

    Args:
      name: `config.data.name`.
      workdir: the run folder.

    Raises:
      UserError: `name` is `folder:PATH`, and `workdir` is PATH or below it.
    """
    kind, _, path = name.partition(":")
    if kind != "folder" or not path or is_remote(workdir):
        return
    images = os.path.realpath(local_path(path))
    if Path(os.path.realpath(workdir)).is_relative_to(images):
        raise UserError(
            f"--workdir={workdir} is inside the images of config.data.name = {name!r}, and its "
            "pictures would become training images; a folder elsewhere is needed"
        )


class _Found(NamedTuple):
    """The images of a folder or a zip file, opened by their paths below it; see `Archive`."""

    folder: Folder
    open: Callable[[Path], BinaryIO]
    contents: list[str]


def folder_source(name: str, split: str, how: Fit) -> Source:
    """The images below a folder or in a zip file, decoded whenever they are read.

    `image_folder.arranged` says what their order, splits and classes are, `encoded.encoded_source`
    how they reach their final shape.

    Args:
      name: the folder or zip file, in which `~` is the home folder.
      split: name of a split: `train`, `test` or `validation`; without folders of these names all
        images are `train`.
      how: the size and number of channels that images are brought to.

    Returns:
      Examples `{"image": uint8 [n, H, W, C], "label": int32 [n]}`; label 0 where there are no
      folders of classes.

    Raises:
      UserError: no such folder or file, no images, no such split, a path or a link that leaves the
        folder, or images that `encoded_source` refuses.
    """
    found = _find(local_path(name), f"config.data.name is {f'folder:{name}'!r}")
    splits = found.folder.splits
    check_split(split, [known for known in ("train", "test", "validation") if known in splits])
    paths = [path for path, _ in splits[split]]
    images = Encoded(
        np.array([label for _, label in splits[split]], np.int32),
        lambda index: found.open(paths[index]),
        lambda index: printable(found.folder.root / paths[index]),
    )
    source = encoded_source(
        f"folder:{name}", images, how, classes=found.folder.classes, summary=found.folder.summary
    )
    held_out = {"test", "validation"} & splits.keys()
    return source._replace(
        notes=source.notes if held_out else (*source.notes, _NOTHING_HELD_OUT),
        contents=hashlib.sha256("\n".join(found.contents).encode()).hexdigest(),
    )


_NOTHING_HELD_OUT = (
    "there is no folder test or validation: an evaluation compares samples with the images of "
    "config.eval.split, by default all of train; config.data.split='train[:90%]' and "
    "config.eval.split='train[90%:]' hold some out"
)


def _find(where: Path, field: str) -> _Found:
    """The images below a folder or in a zip file.

    Raises:
      UserError: see `scan_folder` and `scan_zip`.
    """
    if where.is_dir():
        folder = scan_folder(where, field, inside=True)
        paths = [path for images in folder.splits.values() for path, _ in images]
        sizes = [f"{path} {(where / path).stat().st_size}" for path in sorted(paths)]
        return _Found(folder, lambda path: _open(where / path), sizes)
    if not where.exists():
        raise UserError(f"{field}; there is no such folder or zip file")
    return _Found(*scan_zip(where, field))


def _open(file: Path) -> BinaryIO:
    """Open an image of a folder.

    Raises:
      UserError: it cannot be read.
    """
    try:
        return open_regular(file)
    except OSError as error:
        raise UserError(f"{printable(file)} cannot be read ({error.strerror})") from None


def _load(request: Request) -> Source:
    return folder_source(request.argument, request.split, request.fit)


FOLDER = DataKind(_load, "PATH", "images below a folder or in a zip file, as they are")
