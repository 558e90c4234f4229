"""Stacked MNIST: three digits as the channels of one picture, a set of 1,000 modes."""

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.images import Fit
from ddgan_jax.data.source import Batch, Source
from ddgan_jax.data.splits import slice_of
from ddgan_jax.data.tfds_source import prepared_source

SIZE, DIGIT = 32, 28
_SEEDS = {"train": 1000, "test": 1001}


def stacked_mnist(split: str, directory: str, how: Fit) -> Source:
    """Triples of MNIST digits as R, G and B, padded to 32x32 or scaled down to below 28 pixels.

    Which three digits example i shows is drawn once from a fixed seed, with replacement, so that it
    is the same everywhere and always; only the digits are kept in memory.

    Args:
      split: `train` (120,000 triples of the 60,000 training digits: two for each), `test` (20,000
        of the 10,000), or a part.
      directory: where `tfds:mnist` was prepared; '' as there.
      how: 32 pixels, as scores are published for, or fewer than 28; 3 channels; 0 for 32 and 3.

    Returns:
      Examples `{"image": uint8 [n, H, H, 3], "label": int32 [n]}`, label 100 R + 10 G + B.

    Raises:
      UserError: MNIST is not prepared, an unknown split, another size.
    """
    small = 0 < how.size < DIGIT
    if not (small or how.size in (0, SIZE)) or how.channels not in (0, 3):
        raise UserError(
            f"data.image_size={how.size}, data.channels={how.channels}: stacked_mnist has "
            f"{SIZE} pixels, or fewer than {DIGIT}, and 3 channels; allowed: 0, or these"
        )
    side = how.size or SIZE
    name, _ = slice_of(split.partition("[")[0], dict.fromkeys(_SEEDS, 1))
    digits = prepared_source("mnist", name, directory, Fit(how.size if small else 0))
    size = 2 * digits.size
    _, part = slice_of(split, dict.fromkeys(_SEEDS, size))
    random = np.random.default_rng(_SEEDS[name])
    triples = random.integers(digits.size, size=(size, 3), dtype=np.int32)[part]

    def take(indices: np.ndarray) -> Batch:
        chosen = triples[indices]
        taken = digits.take(chosen.ravel())
        height, width = taken["image"].shape[1:3]
        image = np.zeros((len(chosen), side, side, 3), np.uint8)
        top, left = (side - height) // 2, (side - width) // 2
        grey = taken["image"].reshape(len(chosen), 3, height, width)
        image[:, top : top + height, left : left + width] = np.moveaxis(grey, 1, -1)
        label = taken["label"].reshape(-1, 3) @ np.array([100, 10, 1], np.int32)
        return {"image": image, "label": label.astype(np.int32)}

    return Source("stacked_mnist", len(triples), (side, side, 3), take, modes="stacked_mnist")
