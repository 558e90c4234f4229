"""LPIPS-VGG: parity with the published one, properties, and its files of weights."""

import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs as runs
from torch_writer import write_torch

from ddgan_jax.cli import main
from ddgan_jax.core.errors import UserError
from ddgan_jax.features.lpips import (
    _unit,
    distance,
    distances,
    distances_by_name,
    load_lpips,
    lpips_for,
)
from ddgan_jax.interop import lpips as convert
from ddgan_jax.interop.vgg16 import convolution_shapes
from ddgan_jax.metrics.reconstruction import reconstruction_quality


@pytest.fixture(scope="module")
def published_arrays():
    """Random weights as PyTorch names them: (VGG16, heads)."""
    rng = np.random.default_rng(0)

    def draw(shape):
        return rng.standard_normal(shape, np.float32) * np.float32(
            np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.1
        )

    vgg = {name: draw(shape) for name, shape in convolution_shapes().items()}
    heads = {name: np.abs(draw(shape)) for name, shape in convert.head_shapes().items()}
    return vgg, heads


@pytest.fixture(scope="module")
def random_file(published_arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "lpips.npz"
    np.savez(path, **convert.lpips_arrays(*published_arrays))
    return path


@pytest.fixture(scope="module")
def random_lpips(random_file):
    return load_lpips(str(random_file))


def images(seed: int, *shape: int) -> jax.Array:
    return jax.random.uniform(jax.random.key(seed), shape, minval=-1, maxval=1)


def test_parity(reference):
    with np.load(reference("reference/lpips_vgg.npz")) as file:
        golden = dict(file)
    given = os.environ.get("DDGAN_LPIPS", "")
    lpips = load_lpips(given or str(reference("weights/lpips_vgg16.npz")))
    a, b = (
        jnp.asarray(golden[f"image_{letter}"].astype(np.float32) / 127.5 - 1) for letter in "ab"
    )
    ours = jax.jit(lpips.apply)(lpips.params, a, b)
    assert ours.shape == (len(a),) and ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, golden["distance"], rtol=1e-4)


@pytest.mark.slow
def test_distance_is_zero_symmetric_and_of_each_pair_alone(random_lpips):
    a, b = images(0, 2, 16, 19, 3), images(1, 2, 16, 19, 3)
    apply = jax.jit(random_lpips.apply)
    d = apply(random_lpips.params, a, b)
    assert float(d.min()) > 1e-3
    np.testing.assert_allclose(apply(random_lpips.params, b, a), d, rtol=1e-5)
    np.testing.assert_array_equal(apply(random_lpips.params, a, a), [0, 0])
    swapped = apply(random_lpips.params, a[::-1], b[::-1])
    np.testing.assert_allclose(swapped, d[::-1], rtol=1e-5)


def test_first_tap_by_hand(random_lpips, published_arrays):
    """With the other heads at zero the distance needs two convolutions only."""
    vgg, heads = published_arrays
    only_first = {
        name: head if name == "lin0.model.1.weight" else np.zeros_like(head)
        for name, head in heads.items()
    }
    arrays = convert.lpips_arrays(vgg, only_first)
    params = {
        "VGG16_0": random_lpips.params["VGG16_0"],
        **{
            f"NetLinLayer_{i}": {"Conv_0": {"kernel": jnp.asarray(v)}}
            for i in range(5)
            for v in [arrays[f"NetLinLayer_{i}/Conv_0/kernel"]]
        },
    }
    a, b = images(2, 2, 16, 19, 3), images(3, 2, 16, 19, 3)

    def unit_tap(image):
        h = np.asarray(image, np.float64)
        h = (h - [-0.03, -0.088, -0.188]) / [0.458, 0.448, 0.45]
        for i in (0, 2):
            padded = np.pad(h, ((1, 1), (1, 1), (0, 0)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
            h = np.einsum("yxihw,oihw->yxo", windows, vgg[f"features.{i}.weight"])
            h = np.maximum(h + vgg[f"features.{i}.bias"], 0)
        return h / (np.linalg.norm(h, axis=-1, keepdims=True) + 1e-10)

    head = heads["lin0.model.1.weight"].reshape(-1)
    expected = [((unit_tap(x) - unit_tap(y)) ** 2 @ head).mean() for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(jax.jit(random_lpips.apply)(params, a, b), expected, rtol=1e-4)


@pytest.mark.slow
def test_gradient_descends_and_is_finite_where_features_vanish(random_lpips):
    params, a, b = random_lpips.params, images(4, 1, 16, 16, 3), images(5, 1, 16, 16, 3)
    value_and_grad = jax.jit(
        jax.value_and_grad(lambda x, p, y: random_lpips.apply(p, x, y).sum()),
    )
    before, gradient = value_and_grad(a, params, b)
    step = 1e-3 * before / jnp.sum(jnp.square(gradient))
    after, _ = value_and_grad(a - step * gradient, params, b)
    np.testing.assert_allclose(before - after, 1e-3 * before, rtol=0.2)

    # no bias and an image that normalises to zero: every feature is zero
    dark = jax.tree.map(lambda p: p if p.ndim > 1 else jnp.zeros_like(p), params)
    flat = jnp.broadcast_to(jnp.asarray([-0.03, -0.088, -0.188]), a.shape)
    _, gradient = value_and_grad(flat, dark, b)
    assert np.isfinite(gradient).all()


def test_unit_vectors_have_finite_gradients_however_short():
    x = jnp.asarray([[0.0, 0.0], [1e-25, 0.0], [3.0, 4.0]])
    np.testing.assert_allclose(_unit(x), [[0, 0], [0, 0], [0.6, 0.8]], atol=1e-6)
    assert np.isfinite(jax.grad(lambda x: _unit(x).sum())(x)).all()


def test_other_images_are_one_line(random_lpips):
    ok = jnp.zeros((2, 16, 16, 3))
    for a, b, words in [
        (jnp.zeros((2, 15, 32, 3)), jnp.zeros((2, 15, 32, 3)), "15x32 pixels; at least 16x16 are"),
        (ok, jnp.zeros((2, 16, 17, 3)), "of the same shape"),
        (ok[..., :1], ok[..., :1], "of the same shape"),
        (ok, ok.astype(jnp.uint8), r"and uint8 \(2, 16, 16, 3\); two float32"),
    ]:
        with pytest.raises(UserError, match=words):
            distance(random_lpips.params, a, b)


@pytest.mark.parametrize("stream", [False, True], ids=["zip", "stream"])
def test_conversion_of_pytorch_files(random_lpips, published_arrays, tmp_path, capsys, stream):
    vgg, heads = published_arrays
    vgg_file, heads_file, out = (tmp_path / n for n in ("vgg16.pth", "vgg.pth", "out.npz"))
    classifier = {"classifier.0.bias": np.zeros(4096, np.float32)}
    write_torch(vgg_file, vgg | classifier, stream=stream)
    write_torch(heads_file, heads, stream=stream)
    assert main(["lpips", f"--vgg={vgg_file}", f"--heads={heads_file}", f"--out={out}"]) == 0
    converted = load_lpips(str(out))
    assert converted.weights_hash == random_lpips.weights_hash
    assert converted.weights_hash in capsys.readouterr().out
    jax.tree.map(np.testing.assert_array_equal, converted.params, random_lpips.params)


def test_wrong_files_are_one_line_each(published_arrays, random_file, tmp_path, capsys):
    vgg, heads = published_arrays
    good_vgg, good_heads, bad = (tmp_path / n for n in ("vgg16.pth", "vgg.pth", "bad.pth"))
    write_torch(good_vgg, vgg, stream=False)
    write_torch(good_heads, heads, stream=False)

    def error_of(vgg_file, heads_file):
        out = tmp_path / "out.npz"
        assert main(["lpips", f"--vgg={vgg_file}", f"--heads={heads_file}", f"--out={out}"]) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and not out.exists()
        return error

    assert "26 of its 26 arrays are missing" in error_of(good_heads, good_vgg)
    assert "No such file" in error_of(tmp_path / "none.pth", good_heads)
    bad.write_bytes(good_vgg.read_bytes()[:1_000_000])
    assert "damaged" in error_of(bad, good_heads)
    write_torch(bad, heads | {"lin5.model.1.weight": heads["lin4.model.1.weight"]}, stream=False)
    assert "'lin5.model.1.weight' among them" in error_of(good_vgg, bad)
    write_torch(
        bad, heads | {"lin4.model.1.weight": np.zeros((1, 9, 1, 1), np.float32)}, stream=False
    )
    assert "'lin4.model.1.weight' is float32 (1, 9, 1, 1)" in error_of(good_vgg, bad)

    cut = tmp_path / "cut.npz"
    cut.write_bytes(random_file.read_bytes()[:1_000_000])
    with pytest.raises(UserError, match=r"cut\.npz: not an \.npz file, or damaged"):
        load_lpips(str(cut))
    with pytest.raises(UserError, match="31 of its 31 arrays are missing"):
        load_lpips(str(good_vgg))


def test_missing_weights_say_where_to_get_them(tmp_path, monkeypatch):
    path = tmp_path / "none.npz"
    with pytest.raises(UserError) as raised:
        load_lpips(str(path))
    line = str(raised.value)
    assert line.startswith(f"{path}: there is no such file; fetch") and "\n" not in line
    assert "python -m ddgan_jax lpips" in line and f"--out={path}" in line
    monkeypatch.setenv("DDGAN_LPIPS", str(path))
    with pytest.raises(UserError, match=r"\(\$DDGAN_LPIPS\): there is no such file"):
        load_lpips("")


@pytest.mark.slow
def test_reconstructions_have_lpips_where_it_can_be_computed(random_file, monkeypatch, tmp_path):
    monkeypatch.setenv("DDGAN_LPIPS", str(random_file))
    lpips, gray = lpips_for((16, 16, 1))
    assert lpips.weights_hash in gray and "gray shown as color" in gray
    assert lpips_for((16, 20, 3))[1] == gray.removesuffix(", gray shown as color")
    assert lpips_for((15, 16, 3)) == (None, "none: 15x16 pixels, at least 16x16 needed")

    a, b = (np.asarray(images(seed, 5, 16, 16, 1)) for seed in (0, 1))
    found = distances(lpips, a, b, batch_size=3)  # the last two beside one repeated
    repeated = (jnp.asarray(x[3:].repeat(3, axis=-1)) for x in (a, b))
    np.testing.assert_allclose(found[3:], lpips.apply(lpips.params, *repeated), rtol=1e-4)
    named = distances_by_name(lpips, a.shape[1:])
    report = reconstruction_quality([(a, b * 3)], named)  # clipped to [-1, 1]
    clipped = distances(lpips, a, np.clip(b * 3, -1, 1), batch_size=3)
    assert report["lpips_grey_as_colour"] == pytest.approx(clipped.mean(), rel=1e-4)
    assert "lpips" not in report and reconstruction_quality([(a, b)]).keys() == {"psnr", "ssim"}
    assert distances_by_name(lpips, (16, 16, 3)).keys() == {"lpips"}
    assert distances_by_name(None, (16, 16, 3)) == {}

    monkeypatch.setenv("DDGAN_LPIPS", str(tmp_path / "gone.npz"))
    none, why = lpips_for((16, 16, 1))
    assert none is None and why.startswith("none: ") and "gone.npz" in why
    (tmp_path / "gone.npz").write_bytes(b"damaged")
    with pytest.raises(UserError, match="gone"):
        lpips_for((16, 16, 1))


@pytest.mark.slow
def test_an_autoencoder_of_color_images_trains_with_it_and_reports_it(
    random_file, monkeypatch, tmp_path
):
    """Convolutions, patch discriminator and LPIPS, from the command line."""
    monkeypatch.setenv("DDGAN_LPIPS", str(random_file))
    pictures = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
    np.savez(tmp_path / "data.npz", images=pictures)
    config = f"--config={runs.ROOT}/configs/autoencoder_cifar10.py"
    data = [f"data.name=npz:{tmp_path / 'data.npz'}", "data.image_size=16", "data.flip=false"]
    small = ["width=4", "multipliers=1", "blocks=1", "attention=()", "latent_channels=1"]
    small = [f"autoencoder.{size}" for size in small]
    small += ["disc.width=4", "disc.layers=0", "loss.adversarial_start=1"]
    short = ["train.batch_size=8", "train.grid=4", "train.duration=2 steps"]
    short += ["train.log_every=1 steps", "train.checkpoint_every=2 steps"]
    run = f"--workdir={tmp_path / 'run'}"
    runs.ok(config, *runs.flags([*data, *small, *short]), run)
    lines = runs.metrics(tmp_path / "run")
    assert all(line["autoencoder/lpips"] > 0 for line in lines) and len(lines) == 2
    assert all(np.isfinite(value) for line in lines for value in line.values())

    runs.ok("--mode=reconstruct", run, "--num_images=8", "--split=train", f"--out={tmp_path}")
    report = json.loads((tmp_path / "reconstruction.json").read_text())
    assert report["quality"]["encoder"]["lpips"] > 0
    assert report["protocol"]["lpips"].startswith("LPIPS-VGG")
