"""One pass over all images of a source in order, and the hash that identifies them."""

import hashlib
from collections.abc import Iterator

import numpy as np

from ddgan_jax.data.source import Source


def images_of(source: Source, batch_size: int = 256) -> Iterator[np.ndarray]:
    """Yield all images of a source in order, uint8 [b, H, W, C] with b at most `batch_size`."""
    for start in range(0, source.size, batch_size):
        yield source.take(np.arange(start, min(start + batch_size, source.size)))["image"]


def hash_of(source: Source) -> str:
    """First 16 hexadecimal digits of the sha256 of number, shape and pixels of all its images."""
    digest = hashlib.sha256(str((source.size, source.shape)).encode())
    for images in images_of(source):
        digest.update(np.ascontiguousarray(images).tobytes())
    return digest.hexdigest()[:16]
