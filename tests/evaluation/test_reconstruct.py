"""`--mode=reconstruct` and the inversion of `Model`: shapes, figures, numbers to check by hand."""

import json

import jax
import numpy as np
import pytest
import tiny_runs as runs
from PIL import Image

import ddgan_jax
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.images import to_float
from ddgan_jax.core.random import sample_keys
from ddgan_jax.data import digits
from ddgan_jax.evaluation.reconstruct import measure, project
from ddgan_jax.features.lpips import Lpips
from ddgan_jax.metrics.reconstruction import reconstruction_quality
from ddgan_jax.spaces.pca import evenly_spaced, principal_components

TINY = [
    runs.DIGITS.replace("ddgan_digits", "dddg_digits"),
    *runs.NETWORKS,
    *("--config.latent_size=2", "--config.degradation.kind=dct", "--config.degradation.levels=2,5"),
    *("--config.train.grid=4",),
    *("--config.train.batch_size=16", "--config.train.duration=7 steps"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reconstruct") / "run"
    runs.ok(*TINY, f"--workdir={folder}")
    return folder


@pytest.fixture(scope="module")
def model(run):
    return ddgan_jax.load(run)


@pytest.fixture(scope="module")
def held_out():
    some = digits("test").take(np.arange(20))
    return to_float(some["image"]), some["label"]


@pytest.mark.slow
def test_encode_and_decode(model, held_out):
    images, labels = held_out
    latents = model.encode(images, labels)
    assert latents.shape == (20, 3, 2) and latents.dtype == np.float32
    decoded = model.decode(latents, labels)
    assert decoded.shape == images.shape and decoded.std() > 0
    # uint8 is the same image, and no image knows of the others in its batch.
    raw = digits("test").take(np.arange(20))["image"]
    np.testing.assert_allclose(model.encode(raw, labels), latents, atol=1e-5)
    np.testing.assert_allclose(model.encode(images[3:5], labels[3:5]), latents[3:5], atol=1e-5)
    np.testing.assert_allclose(model.decode(latents[7:8], labels[7:8]), decoded[7:8], atol=1e-5)


@pytest.mark.slow
def test_interpolate_and_edit(model, held_out):
    images, labels = (x[:3] for x in held_out)
    latents = model.encode(images, labels)
    other = latents[[1, 2, 0]]
    between = model.interpolate(latents, other, labels, steps=5)
    assert between.shape == (3, 5, 8, 8, 1)
    np.testing.assert_allclose(between[:, 0], model.decode(latents, labels), atol=1e-5)
    np.testing.assert_allclose(between[:, -1], model.decode(other, labels), atol=1e-5)
    middle = model.decode((latents + other) / 2, labels)
    np.testing.assert_allclose(between[:, 2], middle, atol=1e-5)
    made = model.edit(latents, 1, 0, np.array([-2.0, 0.5], np.float32), labels)
    latents[:, 1, 0] = 0.5
    np.testing.assert_allclose(made[:, 1], model.decode(latents, labels), atol=1e-5)
    assert np.abs(made[:, 0] - made[:, 1]).max() > 1e-3
    with pytest.raises(UserError, match="t is 3; an integer from 0 to"):
        model.edit(latents, 3, 0, np.zeros(1, np.float32), labels)
    with pytest.raises(UserError, match=r"shape .*; \[N, \d, \d\] is needed"):
        model.edit(latents[0], 0, 0, np.zeros(1, np.float32), labels)
    with pytest.raises(UserError, match="0 images or latents"):
        model.decode(latents[:0], labels[:0])
    with pytest.raises(UserError, match="steps is 1"):
        model.interpolate(latents, other, labels, steps=1)


@pytest.mark.slow
def test_samples_of_a_class(model, run, tmp_path, capfd):
    key = jax.random.key(4)
    latents, drawn = model.method.inversion.prior(sample_keys(key, 0, 6))
    of_three = model.sample(key, 6, labels=3)
    expected = model.decode(np.asarray(latents), np.full(6, 3))
    np.testing.assert_allclose(of_three, expected, atol=1e-5)
    as_drawn = model.sample(key, 6, batch_size=4, labels=np.asarray(drawn))
    np.testing.assert_allclose(as_drawn, model.sample(key, 6), atol=1e-5)

    command = ["--mode=sample", f"--workdir={run}", f"--out={tmp_path}", "--num_images=12"]
    runs.ok(*command, "--label=3", "--seed=4")
    with np.load(tmp_path / "samples.npz") as found:
        assert found["labels"].tolist() == [3] * 12
        floats = found["images"][:6] / 127.5 - 1
        np.testing.assert_allclose(floats, np.clip(of_three, -1, 1), atol=0.005)
    runs.ok(*command)
    with np.load(tmp_path / "samples.npz") as found:
        assert found["labels"].tolist() == [*range(10), 0, 1]
    runs.fails(capfd, [*command, "--label=10"], "labels are 10..10", "0..9")


@pytest.mark.slow
def test_labels_are_asked_for(model, held_out):
    """Labels are required: defaulting to class 0 would be silently wrong."""
    images, labels = held_out
    with pytest.raises(UserError, match=r"missing; classes in 0\.\.9 are needed"):
        model.encode(images)
    with pytest.raises(UserError, match=r"labels are 0\.\.12; 0\.\.9 are needed"):
        model.decode(model.encode(images, labels), np.arange(20) % 13)
    with pytest.raises(UserError, match=r"integers \[20\]"):
        model.encode(images, labels[:3])
    with pytest.raises(UserError, match=r"integers \[20\]"):
        model.encode(images, labels + 0.5)


@pytest.mark.slow
def test_any_number_of_images(model, held_out):
    images = np.concatenate([held_out[0]] * 5)  # more than config.sample.batch_size
    labels = np.concatenate([held_out[1]] * 5)
    latents = model.encode(images, labels)
    np.testing.assert_allclose(latents[:20], latents[80:], atol=1e-5)


@pytest.mark.slow
def test_path_ends_in_the_decoded_image(model, held_out):
    latents, labels = model.encode(*held_out), held_out[1]
    x, norm = model.path(latents, labels)
    assert x.shape == (20, 4, 8, 8, 1) and norm.shape == (20, 3, 8, 8, 1)
    np.testing.assert_allclose(x[:, -1], model.decode(latents, labels), atol=1e-5)
    np.testing.assert_allclose(norm[:, -1], x[:, -1], atol=1e-6)  # t_max degrades nothing
    assert np.ptp(x[:, 0], axis=0).max() == 0  # x'_0 is one image for all


@pytest.mark.slow
def test_refinement_improves_every_image(model, held_out):
    images, labels = held_out
    latents = model.encode(images, labels)
    refined = model.refine(images, latents, labels, steps=15)

    def error(z):
        return np.square(model.decode(z, labels) - images).mean(axis=(1, 2, 3))

    assert (error(refined) < error(latents) - 1e-3).all()  # every one
    further = model.refine(images, latents, labels, steps=40)
    assert error(further).mean() < error(refined).mean() - 1e-3
    alone = model.refine(images[4:5], latents[4:5], labels[4:5], steps=15)
    expected = np.square(model.decode(alone, labels[4:5]) - images[4:5]).mean()
    np.testing.assert_allclose(error(refined)[4], expected, rtol=1e-2)


@pytest.mark.slow
def test_the_command(run, tmp_path, capfd, model, held_out):
    out = tmp_path / "out"
    command = ("--mode=reconstruct", f"--workdir={run}", f"--out={out}", "--num_images=20")
    runs.fails(capfd, [*command, "--refine_rate=0.1"], "--refine_rate=0.1 needs --refine=STEPS")
    runs.ok(*command, "--refine=5")
    report = json.loads((out / "reconstruction.json").read_text())
    assert report["protocol"]["numbers_per_image"] == 6 and report["protocol"]["images"] == 20
    assert report["protocol"]["split"] == "digits, test"
    assert report["protocol"]["lpips"] == "none: 8x8 pixels, at least 16x16 needed"
    found = report["quality"]
    pcas = {"pca_of_1", "pca_of_3", "pca_of_6"}
    assert found.keys() == {"encoder", "refined", "mean_image"} | pcas
    images, labels = held_out
    decoded = model.decode(model.encode(images, labels), labels)
    expected = reconstruction_quality([(images, decoded)])
    np.testing.assert_allclose(found["encoder"]["psnr"], expected["psnr"], rtol=1e-4)
    assert found["refined"]["psnr"] > found["encoder"]["psnr"]
    known = [found[name]["psnr"] for name in ("mean_image", "pca_of_1", "pca_of_3", "pca_of_6")]
    assert known == sorted(known) and known[0] < known[-1]
    largest = [(found["t"], found["index"]) for found in report["edits"]]
    variance = np.asarray(model.params["latent"]["variance"])
    assert largest == [(t, i) for t in range(3) for i in np.argsort(-variance[t])]
    assert len(report["disagreement_rms"]) == 3 and max(report["disagreement_rms"]) < 1e-5  # DCT
    said = capfd.readouterr().out
    assert f"{found['refined']['ssim']:8.4f}" in said and "LPIPS: none: 8x8 pixels" in said
    with np.load(out / "reconstructions.npz") as arrays:
        assert arrays["refined"].shape == arrays["images"].shape == (20, 8, 8, 1)
        assert arrays["latents"].shape == (20, 3, 2)
    tiles = {
        "degradation": (10, 4),
        "path": (8, 3),
        "progress": (10, 4),
        "interpolation": (10, 10),
        "edits": (6, 8),  # both latents of every t
        "reconstructions": (3, 10),
    }
    for name, (rows, columns) in tiles.items():
        with Image.open(out / f"{name}.png") as picture:
            assert picture.size == (columns * 68 + 4, rows * 68 + 4), name


@pytest.mark.slow
def test_everything_is_measured_by_all_that_there_is(model, held_out):
    images, labels = (x[:4] for x in held_out)
    lpips = Lpips({}, "", lambda params, a, b: abs(a - b).mean((1, 2, 3)))
    found, made = measure(model, digits("train"), images, labels, 0, 0.05, lpips)
    assert {name for one in found.values() for name in one} == {*found["encoder"]}
    expected = np.abs(images - made["reconstructions"].clip(-1, 1)).mean()
    assert abs(found["encoder"]["lpips_grey_as_colour"] - expected) < 1e-5


def test_mean_image_and_pca_by_hand():
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(64, 3)))[0].T
    train = (rng.normal(size=(200, 3)) @ axes).reshape(-1, 8, 8, 1) + 0.5
    pca = principal_components(train)
    np.testing.assert_allclose(project(pca, train[:7], 3), train[:7], atol=1e-5)
    errors = [np.square(project(pca, train, k) - train).sum() for k in (0, 1, 2, 3)]
    values = np.linalg.eigvalsh(200 * np.cov(train.reshape(200, -1).T, bias=True))[::-1]
    np.testing.assert_allclose(errors, [values[k:3].sum() for k in range(4)], atol=1e-3)


def test_pca_of_large_images_takes_as_many_as_fit():
    count = len(evenly_spaced(30_000, 256 * 256 * 3))
    assert count * 256 * 256 * 3 <= 2**27 < (count + 1) * 256 * 256 * 3
    assert len(evenly_spaced(30_000, 28 * 28)) == 10_000
    assert evenly_spaced(3, 64).tolist() == [0, 1, 2]
    few = np.random.default_rng(0).normal(size=(5, 8, 8, 3))
    axes = principal_components(few).axes
    assert axes.shape == (5, 192)
    np.testing.assert_allclose(axes @ axes.T, np.eye(5), atol=1e-12)


@pytest.mark.slow
def test_mistakes(run, model, tmp_path, capfd):
    command = ["--mode=reconstruct", f"--workdir={run}"]
    runs.fails(capfd, [*command, "--refine=-1"], "--refine", "-1")
    runs.fails(capfd, [*command, "--refine=2", "--refine_rate=0"], "--refine_rate", "positive")
    runs.fails(capfd, [*command, "--split=valid"], "--split", "'valid'")
    with pytest.raises(UserError, match="8, 8, 1"):
        model.encode(np.zeros((2, 16, 16, 1), np.uint8))
    x, y = np.zeros((2, 8, 8, 1), np.float32), np.zeros(2, int)
    z = np.zeros(model.encode(x, y).shape)
    for steps in (-5, 1.5, "4", None):
        with pytest.raises(UserError, match="steps is"):
            model.refine(x, z, y, steps=steps)
        with pytest.raises(UserError, match="steps is"):
            model.interpolate(z, z, y, steps=steps)
    for rate in (0, -1.0, np.nan, np.inf, "fast"):
        with pytest.raises(UserError, match="learning_rate is"):
            model.refine(x, z, y, learning_rate=rate)
    for t, index in ((0.5, 0), (9, 0), (0, -1), (0, "a")):
        with pytest.raises(UserError, match=r"(t|index) is"):
            model.edit(z, t, index, np.zeros(3), y)
    with pytest.raises(UserError, match="shape"):
        model.edit(z, 0, 0, np.zeros((3, 2)), y)
    with pytest.raises(UserError, match="not finite"):
        model.decode(np.full_like(z, 1e300), y)
    other = runs.trained(tmp_path / "ddgan")
    runs.fails(capfd, [f"--workdir={other}", "--mode=reconstruct"], "'ddgan'", "no inversion")
    with pytest.raises(UserError, match="cannot encode"):
        ddgan_jax.load(other).encode(np.zeros((2, 8, 8, 1), np.uint8))


@pytest.mark.slow
def test_sampling_is_decoding_of_the_prior(model):
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(np.arange(5))
    latents, labels = model.method.inversion.prior(keys)
    decoded = model.decode(np.asarray(latents), np.asarray(labels))
    np.testing.assert_allclose(decoded, model.sample(jax.random.key(0), 5), atol=1e-5)
