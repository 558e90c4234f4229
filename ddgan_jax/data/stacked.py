"""`stacked_mnist`: three MNIST digits as the channels of one image, with 1,000 modes.

`stacked_mnist_balanced` has every digit exactly twice in each channel, as the published data do.
"""

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.images import Fit
from ddgan_jax.data.labels import all_labels
from ddgan_jax.data.source import Batch, DataKind, Request, Source
from ddgan_jax.data.splits import check_split
from ddgan_jax.data.tfds_source import prepared_source
from ddgan_jax.data.views import in_memory

SIZE, DIGIT = 32, 28
_SEEDS = {"train": 1000, "test": 1001}


def stacked_mnist(split: str, directory: str, how: Fit, *, balanced: bool = False) -> Source:
    """Triples of MNIST digits as R, G and B, padded to 32x32 or scaled down to below 28 pixels.

    The three digits of every example are drawn from a fixed seed, so example i is the same on every
    machine. Only the digits are kept in memory.

    Args:
      split: "train" (120,000 triples of the 60,000 training digits) or "test" (20,000 triples of
        the 10,000 test digits).
      directory: the folder that `tfds:mnist` was prepared in; "" for the default.
      balanced: every digit is exactly twice in each channel; else digits are drawn with
        replacement.
      how: 32 pixels, the size of published scores, or fewer than 28; 3 channels. 0 stands for 32
        and 3.

    Returns:
      Examples `{"image": uint8 [n, H, H, 3], "label": int32 [n]}` with label 100 R + 10 G + B.

    Raises:
      UserError: MNIST is not prepared, an unknown split, or another size.
    """
    small = 0 < how.size < DIGIT
    if not (small or how.size in (0, SIZE)):
        raise UserError(
            f"config.data.image_size is {how.size}; for stacked_mnist 0, {SIZE} or fewer than "
            f"{DIGIT} pixels are needed"
        )
    if how.channels not in (0, 3):
        raise UserError(
            f"config.data.channels is {how.channels}; for stacked_mnist 0 or 3 is needed"
        )
    side = how.size or SIZE
    check_split(split, _SEEDS)
    digits = in_memory(prepared_source("mnist", split, directory, Fit(how.size if small else 0)))
    size = 2 * digits.size
    random = np.random.default_rng(_SEEDS[split])
    triples: np.ndarray
    if balanced:
        twice = np.tile(np.arange(digits.size, dtype=np.int32), 2)
        triples = np.stack([random.permutation(twice) for _ in range(3)], axis=1)
    else:
        triples = random.integers(digits.size, size=(size, 3), dtype=np.int32)
    powers = np.array([100, 10, 1], np.int32)

    def take(indices: np.ndarray) -> Batch:
        chosen = triples[indices]
        taken = digits.take(chosen.ravel())
        height, width = taken["image"].shape[1:3]
        image = np.zeros((len(chosen), side, side, 3), np.uint8)
        top, left = (side - height) // 2, (side - width) // 2
        gray = taken["image"].reshape(len(chosen), 3, height, width)
        image[:, top : top + height, left : left + width] = np.moveaxis(gray, 1, -1)
        label: np.ndarray = taken["label"].reshape(-1, 3) @ powers
        return {"image": image, "label": label.astype(np.int32)}

    def labels() -> np.ndarray:
        found: np.ndarray = all_labels(digits)[triples] @ powers
        return found.astype(np.int32)

    return Source(
        name="stacked_mnist_balanced" if balanced else "stacked_mnist",
        size=size,
        shape=(side, side, 3),
        take=take,
        modes="stacked_mnist",
        labels=labels,
        in_memory=True,
    )


def _load(request: Request) -> Source:
    return stacked_mnist(request.split, request.directory, request.fit)


def _load_balanced(request: Request) -> Source:
    return stacked_mnist(request.split, request.directory, request.fit, balanced=True)


STACKED_MNIST = DataKind(_load, about="triples of MNIST digits as RGB images, of prepared MNIST")
STACKED_MNIST_BALANCED = DataKind(
    _load_balanced, about="the same with every digit exactly twice in each channel"
)
