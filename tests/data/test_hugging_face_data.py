"""`hf:NAME`, with a stand-in for the package `datasets`."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from data_files import everything, load, refused
from PIL import Image as Pillow


class Image:
    def __init__(self, decode=True):
        self.decode = decode


class ClassLabel:
    names = ["cat", "dog"]


class Table:
    """Three images; the pixels of image i are i."""

    def __init__(self, features, missing=()):
        self.features, self.missing = dict(features), missing

    def __len__(self):
        return 3

    def select_columns(self, names):
        return Table({name: self.features[name] for name in names}, self.missing)

    def cast_column(self, name, feature):
        return Table({**self.features, name: feature}, self.missing)

    def __getitem__(self, key):
        if isinstance(key, str):
            return [1, 0, 1]
        row = {}
        for name, feature in self.features.items():
            if isinstance(feature, Image):
                assert not feature.decode and isinstance(key, int)
                out = io.BytesIO()
                Pillow.new("RGB", (8, 6), (key, 0, 0)).save(out, "PNG")
                row[name] = {"bytes": None if key in self.missing else out.getvalue(), "path": "x"}
        return row


@pytest.fixture
def package(monkeypatch):
    loaded = []

    def load_dataset(path, config=None, *, split):
        loaded.append((path, config, split))
        if split != "train":
            raise ValueError(f"Unknown split {split!r}.\nShould be one of ['train'].")
        return made.table

    made = SimpleNamespace(
        __version__="4.1.0",
        Image=Image,
        ClassLabel=ClassLabel,
        load_dataset=load_dataset,
        table=Table({"img": Image(), "label": ClassLabel(), "text": None}),
        loaded=loaded,
    )
    monkeypatch.setitem(sys.modules, "datasets", made)
    return made


def test_images_and_labels(package):
    source = load("hf:someone/pets:small", image_size=4)
    assert package.loaded == [("someone/pets", "small", "train")]
    assert (source.size, source.shape, source.classes) == (3, (4, 4, 3), ("cat", "dog"))
    examples = everything(source)
    assert examples["image"][:, 0, 0, 0].tolist() == [0, 1, 2]
    assert examples["label"].tolist() == [1, 0, 1] and examples["label"].dtype == np.int32
    assert "column 'img'" in source.notes[0] and "2 classes" in source.notes[0]
    assert load("hf:pets").shape == (6, 8, 3) and package.loaded[-1][:2] == ("pets", None)


def test_without_classes(package):
    package.table = Table({"image": Image(), "other": Image()})
    source = load("hf:pets")
    assert not source.labeled and everything(source)["label"].tolist() == [0, 0, 0]


def test_what_the_package_cannot_do_is_one_line(package):
    refused(lambda: load("hf:pets", split="test"), "'hf:pets'", "Unknown split 'test'")
    package.table = Table({"text": None})
    refused(lambda: load("hf:pets"), "no column of images: text")
    package.table = Table({"a": Image(), "b": Image()})
    refused(lambda: load("hf:pets"), "several columns of images: a, b")
    package.table = Table({"image": Image()}, missing=(1,))
    refused(lambda: load("hf:pets"), "example 1 holds no image")


def test_missing_and_old_packages(package, monkeypatch):
    package.__version__ = "2.14.0"
    refused(lambda: load("hf:pets"), "datasets 2.14.0", "version 4")
    monkeypatch.setitem(sys.modules, "datasets", None)  # an import fails
    refused(lambda: load("hf:pets"), "pip install 'ddgan_jax[hf]'")
    refused(lambda: load("hf:"), "hf:NAME[:CONFIG] is needed")
