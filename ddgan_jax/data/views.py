"""Sources made from other sources: parts, sums, images of another size, copies in memory."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.images import Fit, enlargement_notes, fit_array
from ddgan_jax.data.labels import all_labels
from ddgan_jax.data.source import Batch, Source
from ddgan_jax.data.splits import parse, positions

# Sources with at most this many bytes of images are decoded once and kept in memory; larger ones
# are decoded whenever they are read.
MEMORY_LIMIT = 4 * 2**30


def select(spec: str, load: Callable[[str], Source]) -> Source:
    """The examples that a split specification names.

    Args:
      spec: such as "train[:90%]" or "train+test"; see `splits`.
      load: name of a split to all its examples.

    Raises:
      UserError: another syntax, an unknown split, or a part without examples.
    """
    parts = parse(spec)
    splits = {name: load(name) for name in dict.fromkeys(part.name for part in parts)}
    chosen = [splits[part.name] for part in parts]
    slices = [positions(part, source.size) for part, source in zip(parts, chosen, strict=True)]
    return joined([part_of(*pair) for pair in zip(chosen, slices, strict=True)])


def part_of(source: Source, part: slice) -> Source:
    """Examples `part.start` to `part.stop - 1` of a source."""
    start, stop = part.start, part.stop
    if (start, stop) == (0, source.size):
        return source
    return source._replace(
        size=stop - start,
        take=lambda indices: source.take(np.asarray(indices) + start),
        labels=lambda: all_labels(source)[start:stop],
    )


def joined(sources: Sequence[Source]) -> Source:
    """The examples of several splits of one data set, one split after the other.

    Raises:
      UserError: their examples differ in shape.
    """
    first = sources[0]
    if len(sources) == 1:
        return first
    for other in sources[1:]:
        if other.shape != first.shape:
            raise UserError(
                f"{first.name}: the splits hold examples of shape {first.shape} and "
                f"{other.shape}; one shape is needed, see config.data.image_size"
            )
    ends = np.cumsum([source.size for source in sources])

    def take(indices: np.ndarray) -> Batch:
        indices = np.asarray(indices)
        image = np.empty((len(indices), *first.shape), np.uint8)
        if len(first.shape) == 1:
            image = image.astype(np.float32)
        label = np.empty(len(indices), np.int32)
        owner = np.searchsorted(ends, indices, side="right")
        for number in np.unique(owner):
            chosen = owner == number
            start = ends[number] - sources[number].size
            examples = sources[number].take(indices[chosen] - start)
            image[chosen], label[chosen] = examples["image"], examples["label"]
        return {"image": image, "label": label}

    return first._replace(
        size=int(ends[-1]),
        take=take,
        labeled=all(source.labeled for source in sources),
        labels=lambda: np.concatenate([all_labels(source) for source in sources]),
        in_memory=all(source.in_memory for source in sources),
    )


def fitted(source: Source, fit: Fit) -> Source:
    """The source with images of the size and number of channels that `fit` names.

    Raises:
      UserError: a size for points, or padding to less than the size of the images.
    """
    if len(source.shape) != 3:
        if fit.size or fit.channels:
            field = "image_size" if fit.size else "channels"
            raise UserError(
                f"config.data.{field} is {fit.size or fit.channels}; {source.name} holds points "
                f"of shape {source.shape}, for which 0 is needed"
            )
        return source
    height, width, channels = source.shape
    if (not fit.size or (height, width) == (fit.size, fit.size)) and fit.channels in (0, channels):
        return source
    shape = fit_array(source.take(np.arange(1))["image"], fit).shape[1:]

    def take(indices: np.ndarray) -> Batch:
        examples = source.take(indices)
        return {**examples, "image": fit_array(examples["image"], fit)}

    same_channels = shape[-1] == source.shape[-1]
    return source._replace(
        shape=shape,
        take=take,
        # A classifier of gray images does not read color ones.
        extractor=source.extractor if same_channels else "inception",
        labels=lambda: all_labels(source),
        in_memory=False,
        notes=(*source.notes, *enlargement_notes(height, width, fit)),
    )


def in_memory(source: Source) -> Source:
    """The source with all its examples read once and kept, unless they exceed `MEMORY_LIMIT`."""
    item = 4 if len(source.shape) == 1 else 1
    if source.in_memory or source.size * int(np.prod(source.shape)) * item > MEMORY_LIMIT:
        return source
    images, labels = _read_all(source.take, source.size)

    def take(indices: np.ndarray) -> Batch:
        return {"image": images[indices], "label": labels[indices]}

    return source._replace(take=take, labels=lambda: labels, in_memory=True)


def _read_all(take: Callable[[np.ndarray], Batch], size: int) -> tuple[np.ndarray, np.ndarray]:
    """All images and labels, read by several threads."""
    chunks = np.array_split(np.arange(size), max(1, size // 32))
    with ThreadPoolExecutor() as pool:
        parts = list(pool.map(take, chunks))
    images, labels = ([part[key] for part in parts] for key in ("image", "label"))
    return np.concatenate(images), np.concatenate(labels)
