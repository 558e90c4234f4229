"""The FID's Inception-v3: parity with the published one, resizing, and its files of weights."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torch_writer import write_torch

from ddgan_jax.cli import main
from ddgan_jax.core.errors import UserError
from ddgan_jax.features.inception import extract, load_inception
from ddgan_jax.features.resize import resize_bilinear
from ddgan_jax.interop import inception as convert
from ddgan_jax.interop.weight_files import check_arrays
from ddgan_jax.networks.inception import Inception, _average

BATCH = 4  # of every call, so that the network is compiled once


@pytest.fixture(scope="module")
def random_arrays():
    """Weights of the published names and shapes, drawn so that activations neither die nor grow."""
    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in convert.published_shapes(classifier=True).items():
        if len(shape) > 1:
            value = rng.standard_normal(shape, np.float32) * np.sqrt(2 / np.prod(shape[1:]))
        elif name.endswith(("bn.weight", "running_var")):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.uniform(-0.1, 0.1, shape)
        arrays[name] = value.astype(np.float32)
    return arrays


@pytest.fixture(scope="module")
def random_file(random_arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "random.npz"
    np.savez(path, **random_arrays)
    return path


@pytest.fixture
def published(reference):
    """The published network: of $DDGAN_INCEPTION, or of the reference folder."""
    given = os.environ.get("DDGAN_INCEPTION", "")
    return load_inception(given or str(reference("weights/inception_fid.npz")))


def cifar10(name: str, count: int) -> np.ndarray:
    """First images uint8 [count, 32, 32, 3] of a file of CIFAR-10's binary version."""
    path = Path(os.environ.get("DDGAN_CIFAR10", "")) / name
    if not path.is_file():
        pytest.skip("$DDGAN_CIFAR10, the folder of data_batch_1.bin and test_batch.bin, is not set")
    rows = np.fromfile(path, np.uint8, count * 3073).reshape(count, 3073)[:, 1:]
    return rows.reshape(count, 3, 32, 32).transpose(0, 2, 3, 1)


def features_of(extractor, images: np.ndarray) -> np.ndarray:
    parts = np.split(images, len(images) // BATCH)
    return np.concatenate([extractor.apply(extractor.params, jnp.asarray(p))[0] for p in parts])


@pytest.mark.slow
@pytest.mark.parametrize(("split", "file"), [("train", "data_batch_1"), ("test", "test_batch")])
def test_parity_on_cifar10(published, reference, split, file):
    with np.load(reference("reference/inception_fid.npz")) as golden:
        expected = golden[f"features/{split}_first_16"]
    ours = features_of(published, cifar10(f"{file}.bin", 16))
    assert ours.shape == expected.shape and ours.dtype == np.float32
    error = np.linalg.norm(ours - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert error.max() < 1e-3
    assert np.abs(ours - expected).max() < 1e-3 * np.abs(expected).max()


def test_published_weights_fill_the_network(published):
    assert published.classes in (0, convert.CLASSES) and published.channels == 3
    assert published.distance == "fid" and len(published.weights_hash) == 16
    count = sum(x.size for x in jax.tree.leaves(published.params["network"]))
    assert count == 21_768_352  # 21,751,136 in kernels, 17,216 channels


@pytest.mark.slow
def test_features_and_logits(random_file):
    extractor = load_inception(str(random_file))
    assert extractor.classes == 1008
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (BATCH, 32, 32, 3), np.uint8)
    found = extractor.apply(extractor.params, jnp.asarray(images))
    assert found.features.shape == (BATCH, 2048) and found.features.dtype == jnp.float32
    assert found.logits.shape == (BATCH, 1008) and found.logits.dtype == jnp.float32
    assert np.isfinite(found.features).all() and float(jnp.std(found.features)) > 1e-3

    # the Inception score's logits: no bias
    weight = np.asarray(extractor.params["classifier"], np.float64)
    logits = np.asarray(found.features, np.float64) @ weight
    np.testing.assert_allclose(found.logits, logits, rtol=1e-4, atol=1e-4 * np.abs(logits).max())

    # image i depends on image i alone
    others = rng.integers(0, 256, images.shape, np.uint8)
    others[2] = images[0]
    elsewhere = extractor.apply(extractor.params, jnp.asarray(others)).features
    np.testing.assert_allclose(elsewhere[2], found.features[0], rtol=1e-6, atol=1e-6)
    assert np.abs(np.asarray(elsewhere[0] - found.features[0])).max() > 1e-3

    without = {"network": extractor.params["network"]}
    assert extractor.apply(without, jnp.asarray(images)).logits is None


def test_parameters_are_those_of_the_network(random_arrays):
    params = convert.inception_params(random_arrays)
    shapes = jax.eval_shape(Inception().init, jax.random.key(0), jnp.zeros((1, 75, 75, 3)))
    assert jax.tree.map(np.shape, params["network"]) == jax.tree.map(np.shape, shapes["params"])
    assert {x.dtype for x in jax.tree.leaves(params)} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(params["classifier"], random_arrays["fc.weight"].T)
    assert "classifier" not in convert.inception_params(
        {k: v for k, v in random_arrays.items() if not k.startswith("fc.")}
    )


def test_batch_norm_is_folded_into_the_convolution(random_arrays):
    name = "Mixed_6b.branch7x7_2"
    weight = random_arrays[f"{name}.conv.weight"].astype(np.float64)
    gamma, beta, mean, var = (
        random_arrays[f"{name}.bn.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    patch = np.random.default_rng(2).standard_normal((1, 7, 128))
    y = np.einsum("oihw,hwi->o", weight, patch)
    expected = gamma * (y - mean) / np.sqrt(var + 0.001) + beta
    layer = convert.inception_params(random_arrays)["network"]["Mixed_6b"]["branch7x7_2"]
    ours = np.einsum("hwio,hwi->o", layer["kernel"], patch) + layer["bias"]
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def bilinear(image: np.ndarray, size: int) -> np.ndarray:
    """One pixel at a time, in float64."""
    height, width, channels = image.shape
    out = np.zeros((size, size, channels))
    for i, j in np.ndindex(size, size):
        y = max((i + 0.5) * height / size - 0.5, 0)
        x = max((j + 0.5) * width / size - 0.5, 0)
        top, left = int(y), int(x)
        for row, share_row in ((top, 1 - (y - top)), (top + 1, y - top)):
            for column, share_column in ((left, 1 - (x - left)), (left + 1, x - left)):
                pixel = image[min(row, height - 1), min(column, width - 1)]
                out[i, j] += share_row * share_column * pixel
    return out


@pytest.mark.parametrize("shape", [(5, 7, 3), (13, 13, 3), (40, 31, 1), (1, 2, 3)])
def test_resize_against_a_loop(shape):
    images = np.random.default_rng(3).uniform(0, 1, (2, *shape)).astype(np.float32)
    ours = resize_bilinear(jnp.asarray(images), 13)
    assert ours.dtype == jnp.float32
    expected = np.stack([bilinear(image, 13) for image in images])
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)


def test_average_pool_leaves_out_the_padding():
    np.testing.assert_allclose(_average(jnp.ones((1, 4, 5, 2))), np.ones((1, 4, 5, 2)), rtol=1e-6)


@pytest.mark.parametrize("stream", [False, True], ids=["zip", "stream"])
def test_pytorch_file_and_its_conversion_are_the_same(random_arrays, tmp_path, capsys, stream):
    source, out = tmp_path / "published.pth", tmp_path / "folder" / "inception.npz"
    counter = {"Conv2d_1a_3x3.bn.num_batches_tracked": np.asarray(3, np.int64)}
    write_torch(source, random_arrays | counter, stream=stream)
    assert main(["inception", f"--source={source}", f"--out={out}"]) == 0
    with np.load(out) as file:
        assert set(file) == set(random_arrays)
    direct, converted = load_inception(str(source)), load_inception(str(out))
    assert direct.weights_hash == converted.weights_hash
    assert direct.weights_hash in capsys.readouterr().out
    jax.tree.map(np.testing.assert_array_equal, direct.params, converted.params)
    changed = random_arrays | {"fc.bias": random_arrays["fc.bias"] + 1}
    np.savez(out, **changed)
    assert load_inception(str(out)).weights_hash != direct.weights_hash


def fake(shapes):
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}


def test_strict_about_names_and_shapes():
    shapes = convert.published_shapes(classifier=True)
    check_arrays(fake(shapes), shapes, "a.npz", convert.NETWORK)
    name = "Mixed_7c.branch_pool.bn.bias"
    for change, words in [
        ({name: (191,)}, rf"a\.npz.*'{name}' is float32 \(191,\); float32 \(192,\) is needed"),
        ({"fc.weight": (1000, 2048)}, r"'fc.weight' is float32 \(1000, 2048\)"),
        ({"AuxLogits.fc.bias": (1000,)}, r"1 arrays are unknown, 'AuxLogits\.fc\.bias'"),
    ]:
        with pytest.raises(UserError, match=words):
            check_arrays(fake(shapes | change), shapes, "a.npz", convert.NETWORK)
    arrays = fake(shapes)
    with pytest.raises(UserError, match=f"'{name}' is float64"):
        check_arrays(arrays | {name: arrays[name].astype(float)}, shapes, "a.npz", convert.NETWORK)
    del arrays[name]
    with pytest.raises(UserError, match=f"1 of its 472 arrays are missing, '{name}' among them"):
        check_arrays(arrays, shapes, "a.npz", convert.NETWORK)


def test_half_a_classifier_is_refused(tmp_path):
    path = tmp_path / "half.npz"
    np.savez(path, **{"fc.bias": np.zeros(1008, np.float32)})
    with pytest.raises(UserError, match="471 of its 472 arrays are missing"):
        convert.read_inception(path)


def test_wrong_files_are_one_line_each(random_file, tmp_path, capsys):
    whole = random_file.read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 255
    (tmp_path / "damaged.npz").write_bytes(damaged)
    (tmp_path / "page.npz").write_text("<html>not found</html>")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.savez(tmp_path / "lpips.npz", **{"VGG16_0/Conv_0/bias": np.zeros(64, np.float32)})
    np.savez(tmp_path / "objects.npz", images=np.array([None]))
    for name, words in [
        ("cut", "not an .npz file, or damaged"),
        ("damaged", "not an .npz file, or damaged"),
        ("page", "not an .npz file, or damaged"),
        ("empty", "not an .npz file, or damaged"),
        ("objects", "holds Python objects, and numbers are needed"),
        ("lpips", "not the weights of the FID's Inception-v3"),
        ("none", "No such file"),
    ]:
        source, out = tmp_path / f"{name}.npz", tmp_path / "out.npz"
        assert main(["inception", f"--source={source}", f"--out={out}"]) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"error: {source}: ") and words in error, error
        assert error.count("\n") == 1 and not out.exists()


def test_missing_weights_say_where_to_get_them(tmp_path, monkeypatch):
    for given in (tmp_path / "none.npz", tmp_path):
        with pytest.raises(UserError) as raised:
            load_inception(str(given))
        line = str(raised.value)
        assert line.startswith(f"{given}: there is no such file; fetch pt_inception-2015-12-05")
        assert "python -m ddgan_jax inception" in line and f"--out={given}" in line
        assert "\n" not in line
    monkeypatch.setenv("DDGAN_INCEPTION", str(tmp_path / "there.npz"))
    with pytest.raises(UserError, match=r"there\.npz \(\$DDGAN_INCEPTION\): there is no such"):
        load_inception("")
    monkeypatch.delenv("DDGAN_INCEPTION")
    monkeypatch.setenv("DDGAN_CACHE", str(tmp_path / "cache"))
    default = tmp_path / "cache" / "inception_fid.npz"
    with pytest.raises(UserError, match=rf"^{default} \(\$DDGAN_INCEPTION is not set\)"):
        load_inception("")


def test_other_images_are_one_line():
    for images in (jnp.zeros((2, 8, 8, 1), jnp.uint8), jnp.zeros((2, 8, 8, 3), jnp.float32)):
        with pytest.raises(UserError, match=r"uint8 \[B, H, W, 3\] is needed"):
            extract({}, images)
