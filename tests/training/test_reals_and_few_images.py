"""The grid of real images of a run, and the line about few images."""

import numpy as np
import tiny_methods as tiny
import tiny_runs as runs
from PIL import Image

from ddgan_jax.data import array_source
from ddgan_jax.methods import complete_config
from ddgan_jax.plotting.grids import image_grid
from ddgan_jax.training.few_images import few_images_note
from ddgan_jax.training.reals import save_reals


def source_of(size, shape=(8, 8, 1)):
    count = np.arange(size * int(np.prod(shape))) % 251
    return array_source("mine", count.astype(np.uint8).reshape(size, *shape))


def read(folder):
    return np.asarray(Image.open(folder / "samples/reals.png"))


def test_reals_have_the_layout_of_the_samples(tmp_path):
    (tmp_path / "samples").mkdir()
    source = source_of(30)
    save_reals(source, 9, tmp_path, tmp_path)
    images = source.take(np.arange(30))["image"]
    chosen = [0, 4, 7, 11, 14, 18, 22, 25, 29]  # over all of the data
    np.testing.assert_array_equal(read(tmp_path), image_grid(images[chosen]))
    other = source_of(3)
    save_reals(other, 9, tmp_path, tmp_path)  # of another run: there is no checkpoint yet
    assert read(tmp_path).shape != image_grid(images[chosen]).shape
    save_reals(source, 9, tmp_path, tmp_path)
    (tmp_path / "checkpoints" / "1").mkdir(parents=True)
    save_reals(other, 9, tmp_path, tmp_path)  # written once
    np.testing.assert_array_equal(read(tmp_path), image_grid(images[chosen]))


def test_fewer_images_than_samples_keep_the_columns(tmp_path):
    (tmp_path / "samples").mkdir()
    source = source_of(4)
    save_reals(source, 9, tmp_path, tmp_path)
    np.testing.assert_array_equal(read(tmp_path), image_grid(source.take(np.arange(4))["image"], 3))


def test_points_have_no_reals(tmp_path):
    points = array_source("points", np.zeros((20, 2), np.float32))
    save_reals(points, 9, tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []


def note(size, make=tiny.mlp_config, **fields):
    config = complete_config(make())
    for name, value in fields.items():
        section, _, field = name.partition("__")
        config[section][field] = value
    return few_images_note(config, source_of(size))


def test_few_images_are_said_once_and_with_what_helps():
    (line,) = note(500)
    assert line.startswith("500 images are few for training without augmentation (below 5,000)")
    for word in ("samples/reals.png", "data.flip=true", "augment.translation=0.125", "parameters"):
        assert word in line
    assert note(5_000) == () and note(2_500, data__flip=True) == ()
    (line,) = note(2_499, data__flip=True)
    assert "and their mirror images" in line and "data.flip=true" not in line
    assert note(500, augment__cutout=0.5) == ()
    (line,) = note(60, augment__cutout=0.5)
    assert "with augmentation (below 100)" in line and "augment.color" not in line


def test_methods_without_augmentation_do_not_advise_it():
    for make in (tiny.ddpm_config, tiny.autoencoder_config):
        (line,) = note(500, make)
        assert "augment." not in line and "flip" in line
    points = array_source("points", np.zeros((20, 2), np.float32))
    assert few_images_note(complete_config(tiny.mlp_config()), points) == ()


def test_a_run_has_them(tmp_path):
    run = runs.trained(tmp_path / "run")
    assert read(run).shape == np.asarray(Image.open(run / "samples/step_00000008.png")).shape
