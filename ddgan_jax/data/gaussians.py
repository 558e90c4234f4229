"""`gaussians25`: a mixture of 25 Gaussians on a grid, in which covered modes can be counted."""

import numpy as np

from ddgan_jax.data.source import DataKind, Request, Source, array_source
from ddgan_jax.data.splits import check_split
from ddgan_jax.data.views import select

# The grid {-4, -2, 0, 2, 4}^2 has variance 8 along each axis; dividing by its root gives about 1.
_SCALE = 2 * np.sqrt(2.0)
_GRID = np.stack(np.meshgrid(*[[-4, -2, 0, 2, 4]] * 2, indexing="ij"), axis=-1)

CENTERS: np.ndarray = (_GRID.reshape(25, 2) / _SCALE).astype(np.float32)
"""float32 `[25, 2]`: means of the Gaussians, in the order of the labels."""

SIGMA: float = float(0.05 / _SCALE)
"""Standard deviation of every Gaussian along each axis."""

SIZE = 100_000
_SEEDS = {"train": 2500, "test": 2501}


def gaussians25(split: str = "train") -> Source:
    """100,000 float32 points `[2]` of the mixture, labeled with the index of their Gaussian.

    The points are drawn from a fixed seed for each split, so they are the same on every machine.

    Args:
      split: "train", "test", or a part such as "train[:90%]".

    Raises:
      UserError: another split.
    """
    return select(split, lambda name: _load(Request(split=name)))


def _load(request: Request) -> Source:
    check_split(request.split, _SEEDS)
    random = np.random.default_rng(_SEEDS[request.split])
    labels = random.integers(25, size=SIZE)
    points = CENTERS[labels] + SIGMA * random.standard_normal((SIZE, 2), dtype=np.float32)
    return array_source("gaussians25", points.astype(np.float32), labels, modes="gaussians25")


GAUSSIANS25 = DataKind(_load, about="100,000 points of a mixture of 25 Gaussians in the plane")
