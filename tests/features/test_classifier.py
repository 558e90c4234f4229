"""Classifiers of gray digits: shipped weights, files, features."""

import hashlib
import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ddgan_jax.cli import main
from ddgan_jax.core.errors import UserError
from ddgan_jax.data import array_source, digits, raw_files
from ddgan_jax.data.images import Fit, fit_array
from ddgan_jax.features.classifier import WEIGHTS, classify, load_classifier, weights_meta
from ddgan_jax.metrics.classes import class_report
from ddgan_jax.networks.classifier import SIZES, Classifier
from ddgan_jax.training import classifier as classifiers
from ddgan_jax.training.classifier import jitter, train_classifier


def held_out() -> dict[str, np.ndarray]:
    return digits("test").take(np.arange(297))


def right(extractor, images, labels) -> float:
    return float((classify(extractor, images).argmax(axis=1) == labels).mean())


@pytest.mark.parametrize(
    "size, parameters", [(8, 171_082), (16, 208_010), (28, 225_674), (32, 225_674)]
)
def test_parameters_of_the_network(size, parameters):
    image = jnp.zeros((1, size, size, 1))
    shapes = jax.eval_shape(Classifier(10).init, jax.random.key(0), image)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == parameters


@pytest.mark.parametrize("size", SIZES)
def test_network_takes_every_size(size):
    module, image = Classifier(7), jnp.zeros((2, size, size, 1))

    def run(key):
        return module.apply(module.init(key, image), image)

    features, logits = jax.eval_shape(run, jax.random.key(0))
    assert (features.shape, logits.shape) == ((2, 128), (2, 7))
    assert features.dtype == logits.dtype == jnp.float32


def test_shipped_digits_reach_the_accuracy_in_their_meta():
    test, meta = held_out(), weights_meta("digits")
    accuracy = right(load_classifier("digits"), test["image"], test["label"])
    assert meta["accuracy"]["as stored"] > 0.98 and meta["test_images"] == 297
    # Another order of sums may move one image across a border.
    assert abs(accuracy - meta["accuracy"]["as stored"]) < 1.5 / 297


def mnist_test_images(reference) -> tuple[np.ndarray, np.ndarray]:
    """MNIST's test set from $TFDS_DATA_DIR, or the idx files of $DDGAN_REFERENCE."""
    if os.environ.get("TFDS_DATA_DIR"):
        from ddgan_jax.data.tfds_source import prepared_source

        try:
            source = prepared_source("mnist", "test", "", Fit())
            examples = source.take(np.arange(source.size))
            return examples["image"], examples["label"]
        except UserError:  # it holds other data
            pass
    folder = reference("data/mnist")
    images = raw_files.read_idx(folder, "t10k-images-idx3-ubyte", 3)[..., None]
    return images, raw_files.read_idx(folder, "t10k-labels-idx1-ubyte", 1).astype(np.int32)


@pytest.mark.slow
def test_shipped_mnist_reads_28_padded_and_magnified(reference):
    images, labels = mnist_test_images(reference)
    extractor, meta = load_classifier("mnist"), weights_meta("mnist")
    sets = {"as stored": images} | {
        f"{fit} to 32": fit_array(images, Fit(32, fit)) for fit in ("pad", "resize")
    }
    assert sets.keys() == meta["accuracy"].keys()
    # The accuracy in the file was measured when images were enlarged by repeating pixels.
    measured = dict(sets)
    box = [
        Image.fromarray(image[..., 0]).resize((32, 32), Image.Resampling.BOX) for image in images
    ]
    measured["resize to 32"] = np.stack([np.array(image) for image in box])[..., None]
    assert right(extractor, sets["resize to 32"], labels) > 0.993
    for name, way in measured.items():
        accuracy = right(extractor, way, labels)
        assert accuracy > 0.99
        assert abs(accuracy - meta["accuracy"][name]) < 2.5 / len(labels)


@pytest.mark.parametrize("name, size", [("mnist", 32), ("digits", 8)])
def test_what_an_extractor_says_of_itself(name, size):
    extractor, meta = load_classifier(name), weights_meta(name)
    assert extractor.name == f"{name}-classifier"
    assert extractor.distance == f"frechet_{name}_classifier"
    assert (extractor.channels, extractor.classes, meta["size"]) == (1, 10, size)
    assert f"{size}x{size}" in extractor.resize
    assert (WEIGHTS / f"{name}.npz").stat().st_size < 600_000
    assert {"command", "steps", "seed", "data", "accuracy"} <= meta.keys()
    sha = hashlib.sha256()
    with np.load(WEIGHTS / f"{name}.npz", allow_pickle=False) as file:
        for key in sorted(set(file) - {"meta"}):
            sha.update(file[key].tobytes())
    assert extractor.weights_hash == sha.hexdigest()[:16]
    out = jax.eval_shape(extractor.apply, extractor.params, jnp.zeros((3, 28, 28, 1), jnp.uint8))
    assert out.features.shape == (3, 128) and out.logits.shape == (3, 10)
    assert out.features.dtype == out.logits.dtype == jnp.float32


def bilinear(image: np.ndarray, size: int) -> np.ndarray:
    """[H, W] -> [size, size], pixel by pixel; beyond the border is the border."""
    height, width = image.shape
    result = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            y = np.clip((i + 0.5) * height / size - 0.5, 0, height - 1)
            x = np.clip((j + 0.5) * width / size - 0.5, 0, width - 1)
            top, left = int(y), int(x)
            below, right = min(top + 1, height - 1), min(left + 1, width - 1)
            upper = image[top, left] * (1 - x + left) + image[top, right] * (x - left)
            lower = image[below, left] * (1 - x + left) + image[below, right] * (x - left)
            result[i, j] = upper * (1 - y + top) + lower * (y - top)
    return result


@pytest.mark.parametrize("shape", [(8, 8), (5, 7), (13, 13)])
def test_images_of_another_size_are_resized_as_said(shape):
    extractor = load_classifier("digits")
    images = np.random.default_rng(0).integers(0, 256, (2, *shape, 1), np.uint8)
    resized = np.stack([bilinear(image[..., 0] / 255, 8) for image in images])[..., None]
    found = extractor.apply(extractor.params, jnp.asarray(images))
    module = Classifier(10)
    features, logits = module.apply({"params": extractor.params}, jnp.asarray(resized, jnp.float32))
    np.testing.assert_allclose(found.features, features, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.logits, logits, rtol=1e-4, atol=1e-4)


def test_an_image_depends_on_itself_alone():
    extractor = load_classifier("digits")
    images = held_out()["image"][:16]
    apply = jax.jit(extractor.apply)
    together = apply(extractor.params, images)
    reversed_ = apply(extractor.params, images[::-1])
    # The rows lie elsewhere in the same program: the same arithmetic.
    np.testing.assert_allclose(reversed_.features[::-1], together.features, rtol=1e-5, atol=1e-5)
    others = np.concatenate([images[:1], 255 - images[1:]])
    with_others = apply(extractor.params, others)
    np.testing.assert_allclose(with_others.features[0], together.features[0], rtol=1e-5, atol=1e-5)
    assert np.abs(with_others.features[1:] - together.features[1:]).max() > 1
    np.testing.assert_allclose(
        classify(extractor, images, batch_size=5), together.logits, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 8, 8, 3), np.uint8),
        np.zeros((2, 8, 8), np.uint8),
        np.zeros((2, 8, 8, 1), np.float32),
    ],
)
def test_images_of_another_kind_are_refused(images):
    extractor = load_classifier("digits")
    with pytest.raises(UserError, match=r"images for digits-classifier are .*; uint8 \[B,"):
        extractor.apply(extractor.params, images)


def rewritten(path, **changes):
    """The shipped digits weights at `path`, with arrays replaced, or left out where None.

    In the opposite order.
    """
    with np.load(WEIGHTS / "digits.npz") as file:
        arrays = dict(file) | changes
    kept = {name: array for name, array in arrays.items() if array is not None}
    np.savez(path, **dict(sorted(kept.items(), reverse=True)))
    return path


def without_conv_bias(path):
    return rewritten(path, **{"conv_0/bias": None})


def truncated(path):
    path.write_bytes((WEIGHTS / "digits.npz").read_bytes()[:100_000])
    return path


def damaged(path):
    content = bytearray((WEIGHTS / "digits.npz").read_bytes())
    content[150_000:150_100] = bytes(100)
    path.write_bytes(content)
    return path


def text(path):
    path.write_text("not an archive")
    return path


def pickled(path):
    return rewritten(path, meta=np.array({"name": "digits"}, dtype=object))


def with_nan(path):
    return rewritten(path, **{"logits/bias": np.full(10, np.nan, np.float16)})


def with_words(path):
    return rewritten(path, **{"logits/bias": np.full(10, "word")})


def pipe(path):
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    return path


def bomb(path):
    """300 MiB of zeros in 1 MB."""
    np.savez_compressed(path, **{"logits/bias": np.zeros(300 * 2**20, np.uint8)})
    return path


META = {"name": "x", "size": 8}


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda path: path, "does not exist; digits, mnist or a file"),
        (truncated, "is not a readable npz file"),
        (damaged, "is not a readable npz file"),
        (text, "is not a readable npz file"),
        (pickled, "is not a readable npz file"),
        (lambda path: path.parent, "is not a readable npz file"),
        (pipe, "is not a regular file"),
        (bomb, "expands from"),
        (lambda path: rewritten(path, meta=None), "has no classifier; a file written by"),
        (lambda path: rewritten(path, meta=np.array("[]")), "has no classifier"),
        (
            lambda path: rewritten(path, meta=np.array('{"name": "digits", "size": "8"}')),
            "has no classifier",
        ),
        (lambda path: rewritten(path, meta=np.array("{")), "has no classifier"),
        (
            lambda path: rewritten(path, meta=np.array(json.dumps(META | {"size": 64}))),
            "has no classifier",
        ),
        (lambda path: rewritten(path, **{"logits/bias": None}), "has no classifier"),
        (
            lambda path: rewritten(path, meta=np.array(json.dumps(META | {"size": 32}))),
            "array 'conv_0/bias' is (64,); (32,) is needed at this size",
        ),
        (without_conv_bias, "array 'conv_0/bias' is missing; (64,) is needed at this size"),
        (
            lambda path: rewritten(path, more=np.zeros(3)),
            "array 'more' is (3,); none is needed at this size",
        ),
        (with_nan, "array 'logits/bias' is damaged; finite numbers"),
        (with_words, "array 'logits/bias' is damaged; finite numbers"),
    ],
)
def test_a_file_that_is_no_classifier_gets_one_line(tmp_path, make, says):
    path = make(tmp_path / "weights.npz")
    with pytest.raises(UserError) as caught:
        load_classifier(str(path))
    message = str(caught.value)
    assert message.startswith(f"classifier {str(path)!r}") and says in message
    assert "\n" not in message and len(message) < 400


def test_a_mistyped_name_gets_a_hint():
    with pytest.raises(UserError, match="did you mean 'mnist'"):
        load_classifier("mnits")


def test_weights_hash_sees_weights_and_nothing_else(tmp_path):
    with np.load(WEIGHTS / "digits.npz") as file:
        bias = file["conv_0/bias"].copy()
    meta = np.array(json.dumps(META))
    same = load_classifier(str(rewritten(tmp_path / "same.npz", meta=meta)))
    bias[0] += 1
    other = load_classifier(str(rewritten(tmp_path / "other.npz", **{"conv_0/bias": bias})))
    assert same.weights_hash == load_classifier("digits").weights_hash != other.weights_hash
    assert same.distance == "frechet_x_classifier"


def test_jitter_moves_within_its_limits(monkeypatch):
    dot = jnp.zeros((200, 32, 32, 1)).at[:, 12, 20].set(1.0)
    moved = np.asarray(jitter(jax.random.key(0), dot))[..., 0]
    assert moved.min() >= 0 and moved.max() <= 1
    pixel = np.arange(32)
    mass = moved.sum(axis=(1, 2))
    # Its distance from the center is multiplied by 0.9..1.25, then changed by at most 2.
    for axis, offset in ((1, -3.5), (2, 4.5)):
        place = (moved.sum(axis=3 - axis) * pixel).sum(axis=1) / mass - 15.5
        low, high = sorted((0.9 * offset, 1.25 * offset))
        assert low - 2.1 < place.min() < low - 0.5 and high + 0.5 < place.max() < high + 2.1
    assert 0.9**2 - 0.1 < mass.mean() < 1.25**2
    monkeypatch.setattr(classifiers, "ZOOM", (1.0, 1.0))
    monkeypatch.setattr(classifiers, "SHIFT", 0.0)
    np.testing.assert_array_equal(jitter(jax.random.key(0), dot), dot)


def test_class_report_of_known_logits():
    sure = 20 * np.eye(4)
    report = class_report(sure)
    assert report.confidence == pytest.approx(1, abs=1e-6)
    assert (report.sure, report.balance) == (1, pytest.approx(1))
    np.testing.assert_array_equal(report.classes, [0.25] * 4)
    # Two of four classes, equally often: exp(log 2) / 4; p = (3, 1, 1, 1) / 6 is not sure.
    half = class_report(np.log([[3.0, 1, 1, 1], [1, 3, 1, 1]]))
    assert half.confidence == pytest.approx(0.5) and half.sure == 0
    assert half.balance == pytest.approx(0.5)
    assert class_report(np.array([[1e4, 0.0]], np.float32)).confidence == 1  # no overflow


@pytest.mark.parametrize(
    "flags, says",
    [
        (["--steps=0"], "--steps is 0; a positive integer is needed"),
        (["--size=40"], "--size is 40; an integer in [8, 32] is needed"),
        (["--size=4"], "--size is 4; an integer in [8, 32] is needed"),
        (["--seed=-1"], "--seed is -1; an integer in [0, 2^32) is needed"),
        (["--out=weights.txt"], "--out is weights.txt; a file *.npz is needed"),
        (["--out=/dev/null/x.npz"], "--out=/dev/null cannot be written to"),
        (["--data=digit"], "config.data.name is 'digit'; digits"),
        (["--data=gaussians25"], "holds points of shape (2,)"),
        (["--data=npz:nowhere.npz"], "there is no such file"),
    ],
)
def test_mistakes_on_the_command_line_get_one_line(tmp_path, capsys, flags, says):
    assert main(["classifier", "--data=digits", f"--out={tmp_path}/x.npz", *flags]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and says in error and error.count("\n") == 1
    assert not (tmp_path / "x.npz").exists()


def test_images_that_do_not_suit_are_refused():
    for shape in ((7, 7, 1), (33, 33, 1), (8, 9, 1), (8, 8, 3)):
        source = array_source("these", np.zeros((3, *shape), np.uint8))
        with pytest.raises(UserError, match=r"these has images of shape .*; gray squares"):
            train_classifier(source, 10, 1, 0)


@pytest.mark.slow
def test_the_command_writes_what_load_classifier_reads(tmp_path, capsys):
    out = tmp_path / "new" / "tiny.npz"
    assert main(["classifier", "--data=digits", "--steps=40", "--seed=3", f"--out={out}"]) == 0
    said = capsys.readouterr().out
    assert "1500 images of digits at 8x8, 10 classes" in said
    assert "step 40/40  loss: classifier " in said and "left" in said
    assert "test accuracy, 297 images as stored: " in said
    meta, extractor, test = weights_meta(str(out)), load_classifier(str(out)), held_out()
    assert (meta["name"], meta["steps"], meta["seed"]) == ("digits", 40, 3)
    assert meta["accuracy"]["as stored"] == right(extractor, test["image"], test["label"]) > 0.5
    assert extractor.weights_hash in said

    again = tmp_path / "again.npz"
    assert main(["classifier", "--data=digits", "--steps=40", "--seed=3", f"--out={again}"]) == 0
    assert again.read_bytes() == out.read_bytes()
    assert main(["classifier", "--data=digits", "--steps=40", "--seed=4", f"--out={again}"]) == 0
    assert load_classifier(str(again)).weights_hash != extractor.weights_hash
