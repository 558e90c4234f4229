"""The registry of data kinds, and kinds from outside the package."""

import sys

import numpy as np
import pytest
from data_files import everything, load, refused

from ddgan_jax.config import plugins
from ddgan_jax.data import DATA, DataKind

PLUGIN = """
import numpy as np
from ddgan_jax.data import DataKind, array_source

def read(request):
    assert request.split in ("train", "test")
    value = int(request.argument or 7)
    images = np.full((10, 4, 4, 1), value, np.uint8)
    return array_source("mine", images, np.arange(10), classes=tuple("abcdefghij"))

my_data = DataKind(read)
wrong = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    name = "data_plugin_of_test"
    (tmp_path / f"{name}.py").write_text(PLUGIN)
    monkeypatch.setattr(plugins, "_folders", [])
    monkeypatch.setattr(sys, "path", [*sys.path])
    plugins.allow(tmp_path)
    yield name
    sys.modules.pop(name, None)


def test_every_kind_describes_itself():
    stacked = ["stacked_mnist", "stacked_mnist_balanced"]
    assert list(DATA) == ["digits", "gaussians25", *stacked, "folder", "hf", "npz", "tfds"]
    for kind in DATA.values():
        assert isinstance(kind, DataKind) and kind.about
    assert DATA["folder"].argument == "PATH"
    assert DATA["npz"].argument == "FILE" and DATA["tfds"].argument == "NAME[/CONFIG]"


def test_a_kind_from_outside(module):
    source = load(f"{module}:my_data", split="train[2:5]", image_size=8, fit="pad", channels=3)
    assert (source.size, source.shape, source.classes[:2]) == (3, (8, 8, 3), ("a", "b"))
    examples = everything(source)
    assert (examples["image"][:, 2:6, 2:6] == 7).all() and examples["label"].tolist() == [2, 3, 4]
    assert (everything(load(f"{module}:my_data:9"))["image"] == 9).all()
    refused(lambda: load(f"{module}:wrong"), "config.data.name", "DataKind")
    refused(lambda: load("data_plugin_nowhere:my_data"), "config.data.name", "--plugins")


def test_what_evaluation_asks_of_a_source():
    digits, points = load("digits"), load("gaussians25", split="test[:10]")
    assert (digits.extractor, digits.modes, digits.labeled) == ("digits", "", True)
    assert digits.classes == tuple("0123456789")
    assert (points.modes, points.labeled, points.size) == ("gaussians25", True, 10)
    # A classifier of gray digits does not read color images.
    assert load("digits", channels=3).extractor == "inception"
    assert load("digits", image_size=12, fit="pad").extractor == "digits"


def test_points_of_several_splits_stay_float32():
    source = load("gaussians25", split="train[:3]+test[:2]")
    parts = [everything(load("gaussians25", split=s))["image"] for s in ("train[:3]", "test[:2]")]
    examples = everything(source)
    assert examples["image"].dtype == np.float32
    np.testing.assert_array_equal(examples["image"], np.concatenate(parts))
