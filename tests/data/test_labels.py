"""Labels: every one is checked, without reading the images."""

import numpy as np
import pytest
from data_files import load, refused, write_mnist

from ddgan_jax.data import Source, all_labels, array_source, check_labels, views
from ddgan_jax.data.preparation import write_dataset

IMAGES = np.zeros((5000, 2, 2, 1), np.uint8)


def labels_with(index, value):
    labels = np.arange(5000) % 10
    labels[index] = value
    return labels


@pytest.mark.parametrize(
    ("index", "value", "words"),
    [
        (4321, -1, ("config.classes is 10", "example 4321", "label -1", "labels >= 0")),
        (77, 10, ("config.classes is 10", "example 77", "label 10", "largest label, 10,")),
    ],
)
def test_one_wrong_label_is_found(index, value, words):
    source = array_source("mine", IMAGES, labels_with(index, value))
    refused(lambda: check_labels(source, 10), "mine", *words)
    check_labels(source, 0)


def test_right_labels_pass():
    assert check_labels(array_source("mine", IMAGES, labels_with(0, 9)), 10) == ()


def test_classes_without_examples_are_named():
    source = array_source("mine", IMAGES, np.arange(len(IMAGES)) % 3)
    (line,) = check_labels(source, 5)
    assert line.startswith("config.classes is 5, and 2 of them have no example (3, 4): samples")
    (line,) = check_labels(source, 1000)
    assert "997 of them have no example (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, ...)" in line


def test_data_without_labels_have_no_classes():
    source = array_source("mine", IMAGES)
    assert not source.labeled
    check_labels(source, 0)
    refused(lambda: check_labels(source, 10), "config.classes is 10", "mine has no labels", "0")


def test_a_label_that_int32_cannot_hold(tmp_path):
    refused(lambda: array_source("mine", IMAGES, labels_with(3, 2**32)), "example 3", "4294967296")


def test_sources_that_only_take():
    def take(indices):
        return {"image": np.zeros((len(indices), 2), np.float32), "label": indices.astype(np.int32)}

    source = Source("mine", 1000, (2,), take)
    np.testing.assert_array_equal(all_labels(source), np.arange(1000))
    refused(lambda: check_labels(source, 999), "example 999")


@pytest.mark.parametrize("limit", [0, views.MEMORY_LIMIT])
def test_prepared_labels_are_read_once_and_without_images(tmp_path, monkeypatch, limit):
    arrays = write_mnist(tmp_path / "raw")
    write_dataset("mnist", str(tmp_path / "raw"), str(tmp_path / "tfds"))
    monkeypatch.setattr(views, "MEMORY_LIMIT", limit)
    whole = load("tfds:mnist", tmp_path / "tfds")
    source = load("tfds:mnist", tmp_path / "tfds", split="train[5:25]", image_size=14)
    expected = whole.take(np.arange(5, 25))["label"]
    from ddgan_jax.data import tfds_source

    def no_image(*arguments):
        raise AssertionError("an image was decoded")

    monkeypatch.setattr(tfds_source, "_decode", no_image)
    labels = all_labels(source)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, expected)
    assert sorted(all_labels(whole)) == sorted(arrays["train"][1])
    if not limit:
        records = tfds_source._Records
        monkeypatch.setattr(records, "labels", no_image)
    np.testing.assert_array_equal(all_labels(source), expected)


def test_stacked_labels(tmp_path):
    write_mnist(tmp_path / "raw")
    write_dataset("mnist", str(tmp_path / "raw"), str(tmp_path / "tfds"))
    source = load("stacked_mnist", tmp_path / "tfds", split="train[10:50]")
    np.testing.assert_array_equal(all_labels(source), source.take(np.arange(40))["label"])
    refused(lambda: check_labels(source, 10), "stacked_mnist", "largest label")
