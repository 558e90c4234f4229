"""`write_dataset`: original files to data sets that `tfds:` names find, without TensorFlow."""

import contextlib
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ddgan_jax.core.errors import UserError, nearest
from ddgan_jax.data.image_folder import scan_folder
from ddgan_jax.data.prepared import data_root
from ddgan_jax.io.storage import local_path

KINDS = {
    "mnist": "the four idx files (train/t10k, images/labels), gzipped or not",
    "fashion_mnist": "the same four files of Fashion-MNIST",
    "cifar10": "cifar-10-batches-bin (the binary version), or the folder that holds it",
    "stl10": "stl10_binary (the binary version), or the folder that holds it",
    "folder": "images, also in sub-folders, whose names become classes (and splits: train, test)",
}
"""Kinds of original files, each with what it needs in `source`."""


def write_dataset(
    kind: str,
    source: str,
    data_dir: str = "",
    *,
    name: str = "",
    size: int = 0,
    background: str = "white",
    say: Callable[[str], None] = print,
) -> tuple[str, Path]:
    """Write a data set, whole or not at all.

    Args:
      kind: one of `KINDS`.
      source: folder of the original files.
      data_dir: folder of prepared data sets; "" for that of TFDS.
      name: name of a folder of images: letters, digits and _.
      size: height and width of the images of a folder.
      background: color that transparent pixels of a folder are composited on, as a name or #rrggbb.
      say: receives one line with what was read and what was skipped of a folder.

    Returns:
      The value for `config.data.name`, and the folder that was written.

    Raises:
      UserError: files are missing or damaged, an argument is not allowed, or the data set is there
        already.
    """
    if kind not in KINDS:
        raise UserError(
            f"KIND is {kind!r}; one of {', '.join(KINDS)} is needed{nearest(kind, KINDS)}"
        )
    where, root = local_path(source), data_root(data_dir)
    if not where.is_dir():
        raise UserError(f"--source is {where}; there is no such folder")
    if kind == "folder":
        return _write_folder(where, root, name, size, background, say)

    from ddgan_jax.data import tfds_builders

    builder = {
        "mnist": tfds_builders.Mnist,
        "fashion_mnist": tfds_builders.FashionMnist,
        "cifar10": tfds_builders.Cifar10,
        "stl10": tfds_builders.Stl10,
    }[kind]
    return f"tfds:{kind}", _write(builder, where, root)


def _write_folder(
    where: Path, root: Path, name: str, size: int, background: str, say: Callable[[str], None]
) -> tuple[str, Path]:
    """Write a folder of images; see `write_dataset`."""
    from PIL import ImageColor

    if not (name.isidentifier() and name.isascii()):
        raise UserError(f"--name is {name!r}; letters, digits and _, a letter first, are needed")
    if size < 1:
        raise UserError(f"--size is {size}; a positive integer is needed")
    try:
        color = ImageColor.getrgb(background)[:3]
    except ValueError:
        raise UserError(
            f"--background is {background!r}; the name of a color or #rrggbb is needed"
        ) from None
    folder = scan_folder(where)

    from ddgan_jax.data import tfds_builders

    config = tfds_builders.FolderConfig(
        name=name,
        description=f"Images of {where.name}.",
        size=size,
        background=color,
        folder=folder,
    )
    path = _write(tfds_builders.ImageFolder, where, root, config)
    notes = [f"{count:,} {note}" for note, count in config.notes.most_common()]
    say("; ".join([folder.summary, *notes]))
    return f"tfds:image_folder/{name}", path


def _write(builder: Any, source: Path, root: Path, config: Any = None) -> Path:
    """Prepare a data set with one of the builders of `tfds_builders`.

    Returns:
      The folder of the data set.

    Raises:
      UserError: it is there already, or the files in `source` are missing or damaged.
    """
    import tensorflow_datasets as tfds

    with _own_temporary_folder() as downloads, _quiet():
        made = builder(data_dir=str(root), config=config, file_format="array_record")
        path = Path(made.data_path)
        if path.exists():
            raise UserError(f"{path} is already there; delete it to prepare it again")
        download = tfds.download.DownloadConfig(manual_dir=str(source), compute_stats="skip")
        try:
            # Nothing is downloaded, but TFDS makes a folder for it.
            made.download_and_prepare(download_config=download, download_dir=downloads)
        finally:
            # TFDS removes the files that it has not finished, but leaves empty folders.
            for empty in (path.parent, path.parent.parent):
                if empty != root:
                    with contextlib.suppress(OSError):
                        empty.rmdir()
    return path


@contextlib.contextmanager
def _own_temporary_folder() -> Iterator[str]:
    """A temporary folder that temporary folders are made in; TFDS does not remove its own."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        try:
            yield folder
        finally:
            tempfile.tempdir = before


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars of TFDS where there is no terminal, and without its warnings."""
    import tensorflow_datasets as tfds

    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(before)
