"""Prepared data sets that are damaged, incomplete or malicious."""

import json
import os
import re
import shutil

import numpy as np
import pytest
from data_files import everything, load, refused, write_mnist

from ddgan_jax.data import tfds_source, views
from ddgan_jax.data.preparation import write_dataset

SHARD = "mnist-train.array_record-00000-of-00001"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    write_mnist(folder / "raw")
    write_dataset("mnist", str(folder / "raw"), str(folder / "tfds"))
    return folder / "tfds"


@pytest.fixture
def copy(original, tmp_path):
    """(folder of data sets, folder of MNIST in it), to be damaged."""
    shutil.copytree(original, tmp_path / "tfds")
    return tmp_path / "tfds", tmp_path / "tfds/mnist/3.0.1"


def edit(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def cut(file):
    file.write_bytes(file.read_bytes()[:70_000])


def flip(file):
    data = bytearray(file.read_bytes())
    data[1000:1010] = bytes(10)
    file.write_bytes(data)


def become_pipe(file):
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize("limit", [0, views.MEMORY_LIMIT])
@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda file: file.unlink(), "is missing"),
        (lambda file: file.write_bytes(b""), "0 of 30 examples"),
        (cut, "0 of 30 examples"),
        (lambda file: file.write_bytes(os.urandom(70_000)), "examples"),
        (flip, "is damaged"),
        (become_pipe, "regular file"),
    ],
    ids=["missing", "empty", "cut", "junk", "flipped", "pipe"],
)
def test_damaged_shards(copy, damage, word, limit, monkeypatch):
    monkeypatch.setattr(views, "MEMORY_LIMIT", limit)
    root, folder = copy
    damage(folder / SHARD)
    refused(lambda: everything(load("tfds:mnist", root)), SHARD, word)
    assert load("tfds:mnist", root, split="test").size == 12


@pytest.mark.parametrize("number", ["-Infinity", "NaN", "1e999"])
def test_numbers_that_are_no_integers(copy, number):
    root, folder = copy
    text = (folder / "features.json").read_text()
    changed = re.sub(r'"numClasses":\s*"10"', f'"numClasses": {number}', text)
    assert changed != text
    (folder / "features.json").write_text(changed)
    refused(lambda: load("tfds:mnist", root), "features.json", "other contents")


def test_labels_of_damaged_shards(copy, monkeypatch):
    monkeypatch.setattr(views, "MEMORY_LIMIT", 0)
    root, folder = copy
    flip(folder / SHARD)
    refused(load("tfds:mnist", root).labels, SHARD, "is damaged")


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (lambda file: file.unlink(), "is missing"),
        (lambda file: file.write_bytes(file.read_bytes()[:100]), "cut or damaged"),
        (lambda file: file.write_bytes(b""), "cut or damaged"),
        (lambda file: file.write_bytes(b"\xff\xfe" + file.read_bytes()), "not UTF-8"),
        (lambda file: file.write_text("[1]"), "no JSON object"),
        (lambda file: file.write_text("[" * 100_000), "cut or damaged"),
        (become_pipe, "regular file"),
    ],
    ids=["missing", "cut", "empty", "latin", "list", "deep", "pipe"],
)
def test_damaged_metadata(copy, name, damage, word):
    root, folder = copy
    damage(folder / name)
    refused(lambda: load("tfds:mnist", root), name, word)


def test_an_older_complete_version_is_used(copy):
    root, _ = copy
    (root / "mnist/4.0.0").mkdir()
    assert load("tfds:mnist", root).size == 30


@pytest.mark.parametrize(
    "change",
    [
        lambda info: info.update(name="../../secret"),
        lambda info: info.update(name="/etc/passwd"),
        lambda info: info.update(fileFormat="../array_record"),
        lambda info: info.update(splits={"train": 3}),
        lambda info: info.pop("name"),
        lambda info: info["splits"][0].update(name="../train"),
        lambda info: info["splits"][0].update(filepathTemplate="/dev/{SPLIT}"),
        lambda info: info["splits"][0].update(filepathTemplate="{DATASET}/../../{SPLIT}"),
        lambda info: info["splits"][0].update(filepathTemplate=3),
        lambda info: info["splits"][0].update(shardLengths=["-3"]),
        lambda info: info["splits"][0].update(shardLengths=["x"]),
    ],
)
def test_paths_stay_in_the_folder(copy, change):
    root, folder = copy
    edit(folder / "dataset_info.json", change)
    refused(lambda: load("tfds:mnist", root), "dataset_info.json", "other contents")


def test_code_named_by_metadata_is_not_imported(copy, tmp_path, monkeypatch):
    root, folder = copy
    (tmp_path / "harmful.py").write_text(
        f"open({str(tmp_path / 'harm')!r}, 'w')\nclass Image: pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    edit(folder / "dataset_info.json", lambda info: info.update(moduleName="harmful"))
    assert load("tfds:mnist", root).size == 30
    good = (folder / "features.json").read_text()
    for place in ("image", "label"):
        for key in ("pythonClassName", "python_class_name", "type"):
            (folder / "features.json").write_text(good)
            edit(
                folder / "features.json",
                lambda features, place=place, key=key: features["featuresDict"]["features"][
                    place
                ].update({key: "harmful.Image"}),
            )
            refused(lambda: load("tfds:mnist", root), "features.json", "harmful.Image")
    (folder / "features.json").write_text(
        json.dumps({"type": "harmful.Image", "content": {"shape": [1, 1, 1]}})
    )
    refused(lambda: load("tfds:mnist", root), "features.json", "harmful.Image")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: f.pop("image"), ("8-bit image", "label")),
        (lambda f: f["image"]["image"].update(dtype="uint16"), ("8-bit images: none",)),
        (lambda f: f["image"]["image"].pop("shape"), ("other contents", "features.json")),
        (lambda f: f.update(second=f["image"]), ()),
    ],
)
def test_image_features(copy, change, words):
    root, folder = copy
    edit(folder / "features.json", lambda features: change(features["featuresDict"]["features"]))
    if words:
        refused(lambda: load("tfds:mnist", root), *words)
    else:
        assert load("tfds:mnist", root).shape == (28, 28, 1)


def test_data_without_a_label_feature(copy):
    root, folder = copy
    edit(folder / "features.json", lambda f: f["featuresDict"]["features"].pop("label"))
    source = load("tfds:mnist", root)
    assert not source.labeled and not everything(source)["label"].any()


def test_class_names(copy):
    root, folder = copy
    assert load("tfds:mnist", root).classes == ()
    names = folder / "label.labels.txt"
    names.write_text("null\neins\n")
    assert load("tfds:mnist", root).classes == ("null", "eins")
    names.write_bytes(b"caf\xe9\n")
    refused(lambda: load("tfds:mnist", root), "label.labels.txt", "not UTF-8")


def test_mnist_is_evaluated_with_its_classifier(copy):
    root, _ = copy
    assert load("tfds:mnist", root).extractor == "mnist"
    assert load("tfds:mnist", root, channels=3).extractor == "inception"
    assert load("stacked_mnist", root).modes == "stacked_mnist"


def test_tfds_reads_what_was_written(original):
    """The data set stays one that TFDS itself reads, with the same examples."""
    import tensorflow_datasets as tfds

    records = tfds.builder_from_directory(str(original / "mnist/3.0.1")).as_data_source("train")
    ours = everything(load("tfds:mnist", original))
    np.testing.assert_array_equal([r["image"] for r in records], ours["image"])
    np.testing.assert_array_equal([r["label"] for r in records], ours["label"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("celeb_a_hq", ("cannot download it", "catalog/celeb_a_hq", "prepare folder")),
        ("imagenet2012", ("cannot download it", "prepare folder")),
        ("svhn_croped", ("no data set of this name", "did you mean 'svhn_cropped'")),
        ("my_photos", ("no data set of this name", "prepare folder --source=DIR")),
        ("minst", ("did you mean 'mnist'",)),
    ],
)
@pytest.mark.parametrize("has_tensorflow", [False, True])
def test_advice_can_be_followed(tmp_path, monkeypatch, name, words, has_tensorflow):
    monkeypatch.setattr(tfds_source, "_has_tensorflow", lambda: has_tensorflow)
    with pytest.raises(Exception) as caught:
        load(f"tfds:{name}", tmp_path)
    assert "pip install" not in str(caught.value)
    refused(lambda: load(f"tfds:{name}", tmp_path), *words)
