"""Data sources: digits, Gaussians, npz files, splits, refused files."""

from types import SimpleNamespace

import numpy as np
import pytest
from data_files import everything, refused

from ddgan_jax.data import all_labels, array_source, load_source
from ddgan_jax.data.gaussians import CENTERS, SIGMA
from ddgan_jax.data.images import Fit, fit_array
from ddgan_jax.data.splits import parse, positions


def config(name, **fields):
    return SimpleNamespace(name=name, **fields)


def test_digits():
    train, test = (everything(load_source(config("digits", split=s))) for s in ("train", "test"))
    assert train["image"].shape == (1500, 8, 8, 1) and test["image"].shape == (297, 8, 8, 1)
    assert train["image"].dtype == np.uint8 and train["label"].dtype == np.int32
    assert train["image"].min() == 0 and train["image"].max() == 255
    labels = np.concatenate([train["label"], test["label"]])
    # The class counts that come with the data set.
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.bincount(test["label"], minlength=10).min() > 15  # exchangeable, not sorted


def test_digits_parts_and_shapes():
    whole = everything(load_source(config("digits")))["image"]
    part = load_source(config("digits", split="train[10%:20%]"))
    np.testing.assert_array_equal(everything(part)["image"], whole[150:300])
    padded = load_source(config("digits", image_size=12, fit="pad", channels=3))
    assert padded.shape == (12, 12, 3)
    images = everything(padded)["image"]
    np.testing.assert_array_equal(images[:, 2:10, 2:10], whole.repeat(3, axis=-1))
    assert images.sum(dtype=np.int64) == 3 * whole.sum(dtype=np.int64)  # black all round
    halved = everything(load_source(config("digits", image_size=4)))["image"]
    means = whole.reshape(-1, 4, 2, 4, 2, 1).mean(axis=(2, 4))
    assert np.abs(halved - means).max() <= 1


def test_resize_crops_the_center():
    wide = np.zeros((1, 4, 12, 3), np.uint8)
    wide[:, :, 4:8] = 200
    assert (fit_array(wide, Fit(4)) == 200).all()
    assert fit_array(wide, Fit(4, channels=1)).shape == (1, 4, 4, 1)


def test_gaussians():
    source = load_source(config("gaussians25"))
    data = everything(source)
    assert source.shape == (2,) and source.size == 100_000
    assert data["image"].dtype == np.float32 and CENTERS.shape == (25, 2)
    np.testing.assert_allclose(data["image"].mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(data["image"].std(axis=0), 1, atol=0.02)
    offsets = data["image"] - CENTERS[data["label"]]
    np.testing.assert_allclose(offsets.std(axis=0), SIGMA, rtol=0.02)
    distances = ((data["image"][:1000, None] - CENTERS) ** 2).sum(axis=-1)
    np.testing.assert_array_equal(distances.argmin(axis=1), data["label"][:1000])
    assert np.bincount(data["label"]).min() > 3700
    again = everything(load_source(config("gaussians25")))["image"]
    np.testing.assert_array_equal(data["image"], again)
    test = everything(load_source(config("gaussians25", split="test")))["image"]
    assert not np.isin(test[:, 0], again[:, 0]).all()


def test_npz(tmp_path):
    images = np.arange(5 * 6 * 4, dtype=np.uint8).reshape(5, 6, 4)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(5))
    source = load_source(config(f"npz:{tmp_path}/a.npz", split="train[1:4]"))
    data = everything(source)
    np.testing.assert_array_equal(data["image"], images[1:4, ..., None])
    assert data["label"].tolist() == [1, 2, 3]
    np.savez(tmp_path / "b.npz", images=np.ones((3, 7), np.float32))
    points = load_source(config(f"npz:{tmp_path}/b.npz"))
    assert points.shape == (7,) and everything(points)["label"].tolist() == [0, 0, 0]


def test_npz_mistakes(tmp_path):
    (tmp_path / "text.npz").write_text("no arrays here")
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    np.savez(tmp_path / "ok.npz", images=np.ones((3, 2), np.float32))
    np.save(tmp_path / "one.npy", np.ones(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    (tmp_path / "half.npz").write_bytes((tmp_path / "ok.npz").read_bytes()[:100])
    for name, word in {
        "none": "no such file",
        "text": "not a readable",
        "half": "not a readable",
        "one": "not a readable",
        "other": "no array 'images'",
    }.items():
        refused(lambda name=name: load_source(config(f"npz:{tmp_path}/{name}.npz")), word)
    refused(
        lambda: load_source(config(f"npz:{tmp_path}/ok.npz", split="test")),
        "config.data.split is 'test'; train,",
    )


@pytest.mark.parametrize(
    ("images", "labels", "word"),
    [
        (np.zeros((0, 8, 8, 1), np.uint8), None, "at least one"),
        (np.zeros((4, 8, 8, 2), np.uint8), None, "(4, 8, 8, 2)"),
        (np.zeros((4, 8, 8, 1), np.float32), None, "float32"),
        (np.zeros((4, 2), np.float64), None, "float64"),
        (np.array([[0, 1], [np.nan, 1]], np.float32), None, "example 1"),
        (np.array([[0, np.inf]], np.float32), None, "infinity"),
        (np.zeros((4, 2), np.float32), np.zeros(3, int), "(3,)"),
        (np.zeros((4, 2), np.float32), np.zeros(4), "float64"),
    ],
)
def test_arrays_refused(images, labels, word):
    refused(lambda: array_source("mine", images, labels), "mine", word)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "digit"}, ("config.data.name is 'digit'", "did you mean 'digits'")),
        ({"name": "mnist"}, ("did you mean 'tfds:mnist'",)),
        ({"name": "digits", "split": "valid"}, ("data.split is 'valid'", "train or test")),
        ({"name": "digits", "split": "train[:x]"}, ("data.split",)),
        ({"name": "digits", "split": f"train[:{'9' * 400}%]"}, ("data.split", "positions")),
        ({"name": "digits", "split": "train[5:5]"}, ("selects none",)),
        ({"name": "digits", "split": "train[:5000]"}, ("train[:5000]", "1500 examples")),
        ({"name": "digits", "split": "test+all"}, ("data.split is 'all'",)),
        ({"name": "digits", "fit": "crop"}, ("data.fit is 'crop'", "'pad'")),
        ({"name": "digits", "channels": 2}, ("data.channels is 2",)),
        ({"name": "digits", "image_size": -1}, ("data.image_size is -1",)),
        ({"name": "digits", "image_size": 4, "fit": "pad"}, ("data.image_size is 4", "8x8")),
        ({"name": "gaussians25", "image_size": 8}, ("data.image_size is 8", "(2,)")),
        ({"name": "gaussians25", "channels": 1}, ("data.channels is 1", "(2,)")),
        ({"name": "tfds:../x"}, ("tfds:NAME",)),
        ({"name": "tfds:mnist/.."}, ("tfds:NAME",)),
        ({"name": "npz"}, ("npz:FILE is needed",)),
        ({"name": "tfds:"}, ("tfds:NAME[/CONFIG] is needed",)),
        ({"name": "digits:8"}, ("'digits:8'; digits is needed",)),
        ({"name": "tdfs:mnist"}, ("did you mean 'tfds'",)),
        ({"name": "npz:~nobody_at_all/a.npz"}, ("nobody_at_all", "home folder")),
    ],
)
def test_config_mistakes(fields, words):
    refused(lambda: load_source(config(**fields)), *words)


def test_slices():
    for spec, name, total, expected in (
        ("train", "train", 200, slice(0, 200)),
        ("train[:90%]", "train", 200, slice(0, 180)),
        ("train[-5%:]", "train", 200, slice(190, 200)),
        ("test[2:4]", "test", 10, slice(2, 4)),
        ("test[:-3]", "test", 10, slice(0, 7)),
        ("test[12.5%:]", "test", 200, slice(25, 200)),
    ):
        (part,) = parse(spec)
        assert part.name == name and positions(part, total) == expected


@pytest.mark.parametrize("spec", ["train[:33%]", "train[-7%:]", "train[10%:12.5%]", "train[3:9]"])
@pytest.mark.parametrize("total", [99, 150, 250])
def test_slices_are_those_of_tfds(spec, total):
    import tensorflow_datasets as tfds

    info = tfds.core.SplitInfo(name="train", shard_lengths=[total], num_bytes=0)
    (theirs,) = tfds.core.ReadInstruction.from_spec(spec).to_absolute({"train": info})
    (part,) = parse(spec)
    assert positions(part, total) == slice(theirs.from_ or 0, theirs.to or total)


def test_a_sum_of_splits():
    whole = [everything(load_source(config("digits", split=s))) for s in ("test", "train")]
    source = load_source(config("digits", split="test+train[:50%]", image_size=12, fit="pad"))
    assert source.size == 297 + 750 and source.shape == (12, 12, 1)
    order = np.array([0, 296, 297, 1046, 5])
    examples = source.take(order)
    images = np.concatenate([part["image"] for part in whole])
    labels = np.concatenate([part["label"] for part in whole])
    np.testing.assert_array_equal(examples["image"][:, 2:10, 2:10], images[order])
    np.testing.assert_array_equal(examples["label"], labels[order])
    np.testing.assert_array_equal(all_labels(source), labels[: source.size])
