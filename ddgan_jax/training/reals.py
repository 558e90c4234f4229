"""`samples/reals.png`: training images in the layout of the sample grids."""

from pathlib import Path

import numpy as np

from ddgan_jax.data.source import Source
from ddgan_jax.io.run_folder import has_checkpoint
from ddgan_jax.io.storage import AnyPath
from ddgan_jax.plotting import grids

NAME = Path("samples") / "reals.png"


def save_reals(source: Source, count: int, workdir: AnyPath, folder: Path) -> None:
    """Write evenly spaced images of the data, before the first checkpoint; of points none.

    Args:
      source: the training data, before the space of the method.
      count: images in a sample grid; fewer are written if the data have fewer.
      workdir: the run folder.
      folder: where its files are written, see `io.storage.spooled`.
    """
    begun = has_checkpoint(workdir) and (workdir / str(NAME)).exists()
    if len(source.shape) != 3 or begun:
        return
    chosen = np.linspace(0, source.size - 1, min(count, source.size)).round().astype(int)
    columns = int(np.ceil(np.sqrt(count)))
    grids.save_png(folder / NAME, grids.image_grid(source.take(chosen)["image"], columns))
