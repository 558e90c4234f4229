"""Small data sets for tests, written as files."""

import gzip
from types import SimpleNamespace

import numpy as np
import pytest

from ddgan_jax.core.errors import UserError
from ddgan_jax.data import load_source


def load(name, directory="", **fields):
    return load_source(SimpleNamespace(name=name, dir=str(directory), **fields))


def everything(source):
    return source.take(np.arange(source.size))


def refused(call, *words):
    """The call raises a UserError of one line with all these words in it."""
    with pytest.raises(UserError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and message.isprintable()
    for word in words:
        assert word in message, message


def write_idx(path, array, *, pack=False):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    data = header + array.tobytes()
    path.write_bytes(gzip.compress(data) if pack else data)


def write_mnist(directory, *, pack=False):
    """30 + 12 random examples; returns {split: (images, labels)}."""
    directory.mkdir()
    random = np.random.default_rng(0)
    arrays = {}
    for split, prefix, size in (("train", "train", 30), ("test", "t10k", 12)):
        images = random.integers(256, size=(size, 28, 28), dtype=np.uint8)
        labels = random.integers(10, size=size, dtype=np.uint8)
        end = ".gz" if pack else ""
        write_idx(directory / f"{prefix}-images-idx3-ubyte{end}", images, pack=pack)
        write_idx(directory / f"{prefix}-labels-idx1-ubyte{end}", labels, pack=pack)
        arrays[split] = images, labels
    return arrays
