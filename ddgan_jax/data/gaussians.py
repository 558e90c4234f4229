"""25 Gaussians on a grid: the toy set on which mode coverage can be counted."""

import numpy as np

from ddgan_jax.data.source import Source, array_source
from ddgan_jax.data.splits import slice_of

# The grid {-4, -2, 0, 2, 4}^2 has variance 8 along each axis; dividing by its root gives about 1.
_SCALE = 2 * np.sqrt(2.0)
_GRID = np.stack(np.meshgrid(*[[-4, -2, 0, 2, 4]] * 2, indexing="ij"), axis=-1)

CENTRES: np.ndarray = (_GRID.reshape(25, 2) / _SCALE).astype(np.float32)
"""float32 `[25, 2]`: the means, in the order of the labels."""

SIGMA: float = float(0.05 / _SCALE)
"""Standard deviation of every Gaussian, along each axis."""

SIZE = 100_000
_SEEDS = {"train": 2500, "test": 2501}


def gaussians25(split: str = "train") -> Source:
    """100,000 float32 points `[2]` of the mixture, labelled with the index of their centre.

    `train` and `test` are independent draws; both are the same on every machine.

    Raises:
      UserError: an unknown split.
    """
    name, part = slice_of(split, dict.fromkeys(_SEEDS, SIZE))
    random = np.random.default_rng(_SEEDS[name])
    labels = random.integers(25, size=SIZE)
    points = CENTRES[labels] + SIGMA * random.standard_normal((SIZE, 2), dtype=np.float32)
    source = array_source("gaussians25", points.astype(np.float32)[part], labels[part])
    return source._replace(modes="gaussians25")
