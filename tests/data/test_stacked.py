"""Stacked MNIST, tested with digits whose value is the value of their pixels."""

from types import SimpleNamespace

import numpy as np
import pytest

from ddgan_jax.core.errors import UserError
from ddgan_jax.data import array_source, load_source, stacked
from ddgan_jax.data.images import Fit

NUMBER = 50


@pytest.fixture
def mnist(monkeypatch):
    """MNIST as it would be prepared, of a few 28x28 pictures: digit d has pixels 10 d + 1."""

    def prepared(name, split, directory, how):
        assert (name, directory) == ("mnist", "somewhere") and split in ("train", "test")
        labels = np.arange(NUMBER) % 10
        side = how.size or 28
        assert how == Fit(how.size) and how.size in (0, 14)
        images = np.broadcast_to((10 * labels + 1)[:, None, None, None], (NUMBER, side, side, 1))
        return array_source("mnist", images.astype(np.uint8), labels)

    monkeypatch.setattr(stacked, "prepared_source", prepared)


def load(**fields):
    return load_source(SimpleNamespace(name="stacked_mnist", dir="somewhere", **fields))


def everything(source):
    return source.take(np.arange(source.size))


def test_channels_are_digits_and_the_label_is_their_triple(mnist):
    source = load(image_size=32, channels=3)
    assert source.shape == (32, 32, 3) and source.size == 2 * NUMBER
    examples = everything(source)
    image, label = examples["image"], examples["label"]
    assert image.dtype == np.uint8 and label.dtype == np.int32
    digits = np.stack([label // 100, label // 10 % 10, label % 10], axis=1)
    np.testing.assert_array_equal(
        image[:, 2:30, 2:30], np.broadcast_to(10 * digits[:, None, None] + 1, (100, 28, 28, 3))
    )
    image[:, 2:30, 2:30] = 0
    assert not image.any()  # black around them
    assert len(np.unique(label)) > 80 and label.min() >= 0 and label.max() <= 999
    assert [len(np.unique(digits[:, c])) for c in range(3)] == [10, 10, 10]


def test_balanced_triples_have_every_digit_twice_in_each_channel(mnist):
    fields = SimpleNamespace(name="stacked_mnist_balanced", dir="somewhere")
    source = load_source(fields)
    assert source.modes == "stacked_mnist" and source.size == 2 * NUMBER
    label = everything(source)["label"]
    for power in (100, 10, 1):
        counts = np.bincount(label // power % 10, minlength=10)
        assert (counts == 2 * NUMBER // 10).all()
    drawn = everything(load())["label"]  # with replacement
    assert any(np.ptp(np.bincount(drawn // power % 10)) for power in (100, 10, 1))
    assert len(np.unique(label)) > 70
    np.testing.assert_array_equal(label, everything(load_source(fields))["label"])


def test_smaller_digits_fill_the_picture(mnist):
    small, padded = load(image_size=14), load()
    assert small.shape == (14, 14, 3)
    a, b = everything(small), everything(padded)
    np.testing.assert_array_equal(a["label"], b["label"])
    np.testing.assert_array_equal(a["image"], b["image"][:, 9:23, 9:23])


def test_an_example_is_a_function_of_its_index(mnist):
    first, again, test = load(), load(), load(split="test")
    whole = everything(first)
    indices = np.array([7, 3, 3])
    for name in whole:
        np.testing.assert_array_equal(again.take(indices)[name], whole[name][indices])
    part = everything(load(split="train[10%:20%]"))
    np.testing.assert_array_equal(part["label"], whole["label"][10:20])
    assert np.any(everything(test)["label"] != whole["label"])


def test_mistakes(mnist):
    for fields, word in (
        (dict(split="valid"), "data.split is 'valid'"),
        (dict(image_size=64), "data.image_size is 64"),
        (dict(image_size=28), "data.image_size is 28"),
        (dict(channels=1), "data.channels is 1"),
    ):
        with pytest.raises(UserError, match=word):
            load(**fields)
