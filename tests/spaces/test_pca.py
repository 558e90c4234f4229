"""The space of principal components: its mathematics, its file, and runs in it."""

import json
import shutil

import jax
import numpy as np
import pytest
import tiny_runs as runs

import ddgan_jax
from ddgan_jax.core.errors import UserError
from ddgan_jax.data import digits
from ddgan_jax.data.source import array_source
from ddgan_jax.methods import complete_config
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.spaces import find_space
from ddgan_jax.spaces.pca import as_floats, evenly_spaced, principal_components

PCA = [*runs.TINY, *runs.flags(["space.kind=pca", "space.components=12", "gen.tanh=false"])]


def measured(images, components, *fields):
    """The config, the space and the frozen arrays of images uint8 [N, H, W, C]."""
    extra = runs.flags([f"space.components={components}", *fields])
    config = complete_config(runs.config_of(*PCA, *extra))
    source, entry = array_source("images", images), find_space(config)
    zeros = entry.frozen.load(config, source.shape, meshes.make_mesh(jax.devices()[:1]))
    same, frozen = entry.frozen.feed(config, source, zeros)
    assert same is source
    shapes = entry.frozen.shapes(config, source.shape)
    assert {k: (x.shape, x.dtype) for k, x in frozen.items()} == {
        k: (x.shape, x.dtype) for k, x in shapes.items()
    }
    return config, entry.build(config, source.shape), frozen


def some_images(count=40, shape=(4, 6, 3)):
    return np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)


def test_components_have_unit_variance_and_are_uncorrelated():
    images = some_images()
    _, space, frozen = measured(images, 10)
    z = np.asarray(space.encode(images, frozen), np.float64)
    assert z.shape == (40, 10)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(z.T @ z / 40, np.eye(10), atol=1e-4)
    axes = np.asarray(frozen["axes"], np.float64)
    np.testing.assert_allclose(axes @ axes.T, np.eye(10), atol=1e-6)
    deviations = np.asarray(frozen["deviations"])
    assert (np.diff(deviations) <= 0).all() and (deviations > 0).all()


def test_all_components_lose_nothing_and_fewer_are_the_best_projection():
    images = some_images(count=20)
    x = as_floats(images)
    _, space, frozen = measured(images, 19)  # as many as 20 images less their mean have
    np.testing.assert_allclose(space.decode(space.encode(images, frozen), frozen), x, atol=1e-5)
    _, space, frozen = measured(images, 5)
    flat = x.reshape(20, -1).astype(np.float64)
    centered = flat - flat.mean(axis=0)
    u, s, v = np.linalg.svd(centered, full_matrices=False)
    best = (u[:, :5] * s[:5]) @ v[:5] + flat.mean(axis=0)
    rebuilt = np.asarray(space.decode(space.encode(images, frozen), frozen))
    np.testing.assert_allclose(rebuilt.reshape(20, -1), best.clip(-1, 1), atol=1e-5)


def test_samples_stay_in_range():
    _, space, frozen = measured(some_images(), 10)
    image = np.asarray(space.decode(100 * np.ones((2, 10), np.float32), frozen))
    assert image.shape == (2, 4, 6, 3) and image.min() == -1 and image.max() == 1


def test_mirrored_images_are_decomposed_too():
    images = some_images()
    _, space, frozen = measured(images, 10, "data.flip=true")
    mean = np.asarray(frozen["mean"]).reshape(4, 6, 3)
    np.testing.assert_allclose(mean, mean[:, ::-1], atol=1e-6)
    both = np.concatenate([images, images[:, :, ::-1]])
    z = np.asarray(space.encode(both, frozen), np.float64)
    np.testing.assert_allclose(z.T @ z / 80, np.eye(10), atol=1e-4)


def test_few_and_equal_images_have_few_components():
    for images, rank in ((some_images(8), 7), (np.repeat(some_images(3), 5, axis=0), 2)):
        measured(images, rank)
        with pytest.raises(UserError, match=rf"space.components .*; at most {rank}, the indep"):
            measured(images, rank + 1)
    with pytest.raises(UserError, match="at most 0"):
        measured(np.zeros((9, 4, 4, 1), np.uint8), 1)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (["space.components=65"], "at most 64"),
        (["space.components=0"], "space.components"),
        (["gen.tanh=true"], "gen.tanh"),
        (["data.name=gaussians25"], "'pixels' for data of shape"),
        (["augment.color=1"], "augment"),
        (["space.file=not_here.npz"], "no such file"),
    ],
)
def test_mistakes_are_one_line(fields, words, tmp_path, capfd):
    runs.fails(capfd, [*PCA, *runs.flags(fields), f"--workdir={tmp_path / 'run'}"], words)


def test_principal_components_of_more_images_than_numbers():
    images = as_floats(some_images(50, (2, 3, 1)))
    found = principal_components(images)
    assert found.axes.shape == (6, 6)
    flat = images.reshape(50, 6)
    cov = np.cov(flat.T, bias=True)
    wanted = found.axes.T @ np.diag(found.deviations**2) @ found.axes
    np.testing.assert_allclose(wanted, cov, atol=1e-6)
    assert evenly_spaced(3, 64).tolist() == [0, 1, 2]


@pytest.mark.slow
def test_a_run_samples_and_resumes_with_its_own_components(tmp_path, capfd):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    every = "--config.train.checkpoint_every=4 steps"
    runs.ok(*PCA, every, f"--workdir={whole}")
    runs.ok(*PCA, every, "--config.train.duration=4 steps", f"--workdir={parts}")
    runs.ok(*PCA, every, f"--workdir={parts}")
    runs.assert_same_state(whole, parts, 8)

    model = ddgan_jax.load(parts)
    images = model.sample(jax.random.key(0), 6)
    assert images.shape == (6, 8, 8, 1) and np.isfinite(images).all()
    out = tmp_path / "exported"
    runs.ok("export", f"--workdir={parts}", f"--out={out}")
    again = ddgan_jax.load(out).sample(jax.random.key(0), 6)
    np.testing.assert_array_equal(images, again)

    with np.load(parts / "pca" / "components.npz") as file:
        frozen = dict(file)
    x = as_floats(digits("train").take(np.arange(1500))["image"]).reshape(1500, -1)
    np.testing.assert_allclose(frozen["mean"], x.mean(axis=0), atol=1e-5)

    # A file of another run; another number of components; damaged files.
    other = [*PCA, "--config.train.duration=2 steps", f"--workdir={tmp_path / 'other'}"]
    file = f"--config.space.file={parts / 'pca' / 'components.npz'}"
    fewer = [*other, file, "--config.space.components=11"]
    runs.fails(capfd, fewer, "axes", "(12, 64)", "(11, 64)")
    runs.ok(*other, file)
    for name in ("mean", "axes", "deviations"):
        with np.load(tmp_path / "other" / "pca" / "components.npz") as found:
            np.testing.assert_array_equal(found[name], frozen[name])
    # Weights belong to the components that they were trained on.
    few = [*PCA, "--config.data.split=train[:50%]", "--config.train.duration=2 steps"]
    begin = [*few, f"--init_from={parts}", f"--workdir={tmp_path / 'begun'}"]
    runs.fails(capfd, begin, "belong to", f"--config.space.file={parts}/pca/components.npz is")
    runs.ok(*begin, file)

    for change, words in (
        ({"mean": np.full(64, np.nan, np.float32)}, "not finite"),
        ({"deviations": np.zeros(12, np.float32)}, "not positive"),
        ({"axes": frozen["axes"].astype(np.float64)}, "float64"),
    ):
        np.savez(parts / "pca" / "components.npz", **(frozen | change))
        with pytest.raises(UserError, match=words):
            ddgan_jax.load(parts)
    (parts / "pca" / "components.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match="not a readable npz file"):
        ddgan_jax.load(parts)
    shutil.rmtree(parts / "pca")
    with pytest.raises(UserError, match=r"components\.npz is missing"):
        ddgan_jax.load(parts)
    assert json.loads((whole / "info.json").read_text())["method"] == "ddgan"
