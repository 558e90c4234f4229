"""What the buttons of the page compute."""

import jax
import numpy as np
import pytest

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.images import to_uint8
from ddgan_jax.data import digits
from ddgan_jax.demo import actions
from ddgan_jax.demo.abilities import Abilities, abilities_of
from ddgan_jax.inference.sample import Wanted
from tests.demo.a_model import inverting


@pytest.fixture(scope="module")
def image():
    return to_uint8(inverting().sample(jax.random.key(5), 1, labels=2))[0]


def test_what_a_page_offers_of_a_run():
    """The data of the config do not say the names of four classes, so these are numbers."""
    found = abilities_of(inverting())
    assert found == Abilities(True, ("0", "1", "2", "3"), False, 0, 0, True, True, True)
    assert abilities_of(inverting(classes=0)).classes == ()


def test_names_of_classes_come_from_the_data(monkeypatch):
    names = ("cat", "dog", "fish", "owl")
    source = digits("train")._replace(classes=names)
    monkeypatch.setattr("ddgan_jax.demo.abilities.stored_source", lambda data: source)
    assert abilities_of(inverting()).classes == names

    def missing(data):
        raise UserError("not here")

    monkeypatch.setattr("ddgan_jax.demo.abilities.stored_source", missing)
    assert abilities_of(inverting()).classes == ("0", "1", "2", "3")


def test_samples_are_those_of_the_command():
    model = inverting()
    shown = actions.sample_picture(model, Wanted(count=8, seed=3))
    labels = np.arange(8, dtype=np.int32) % 4
    first = to_uint8(model.sample(jax.random.key(3), 8, labels=labels))[0, ..., 0]
    gap, scale = 4, 8
    tile = shown[gap : gap + 64, gap : gap + 64, 0]
    np.testing.assert_array_equal(tile[::scale, ::scale], first)
    assert shown.shape[1] > shown.shape[0]  # a column for each of the four classes
    assert [actions.usual_count(n) for n in (0, 4, 10, 32, 33)] == [64, 64, 60, 64, 64]
    with pytest.raises(UserError, match="up to 256"):
        actions.sample_picture(model, Wanted(count=257))


def test_inversion_finds_the_class_and_refinement_comes_closer(image):
    model = inverting()
    found = actions.invert(model, image, steps=20)
    assert found.found and 0 <= found.label < 4
    errors = []
    for label in range(4):
        z = model.encode(image[None], np.full(1, label, np.int32))
        rebuilt = model.decode(z, np.full(1, label, np.int32))[0]
        errors.append(np.square(rebuilt - (image / 127.5 - 1)).mean())
    assert found.label == int(np.argmin(errors))
    encoder, refined = found.decibels
    assert refined > encoder + 0.1 and found.refined.shape == image.shape
    given = actions.invert(model, image, label=1)
    assert given.label == 1 and not given.found and given.refined is None
    assert len(given.decibels) == 1
    np.testing.assert_array_equal(given.latents, model.encode(image[None], np.int32([1])))


def test_edits(image):
    model = inverting()
    one = actions.invert(model, image, label=2)
    other = actions.invert(model, image[::-1].copy(), label=0)
    classes = actions.every_class(model, one)
    assert classes.shape == (4, *image.shape)
    np.testing.assert_array_equal(classes[2], one.encoded)
    assert not np.array_equal(classes[1], one.encoded)

    rows = actions.mixed(model, one, other)  # as class 2, then as class 0
    assert rows.shape == (2, 4, *image.shape)
    np.testing.assert_array_equal(rows[0, -1], one.encoded)
    np.testing.assert_array_equal(rows[1, 0], other.encoded)
    middle = np.concatenate([one.latents[:, :1], other.latents[:, 1:]], axis=1)
    expected = to_uint8(model.decode(middle, np.int32([2])))[0]
    np.testing.assert_array_equal(rows[0, 1], expected)

    line = actions.between(model, one, other, 5)
    assert line.shape == (2, 5, *image.shape)
    np.testing.assert_array_equal(line[0, 0], one.encoded)
    np.testing.assert_array_equal(line[1, -1], other.encoded)
    assert actions.between(model, one, one, 2).shape[0] == 1  # one class, one row


def test_models_without_classes_or_times(image):
    model = inverting(classes=0)
    found = actions.invert(model, image)
    assert found.label == 0 and not found.found
    assert actions.between(model, found, found, 3).shape == (1, 3, *image.shape)
    with pytest.raises(UserError, match="no classes"):
        actions.every_class(model, found)
    with pytest.raises(UserError, match="no times"):
        actions.mixed(model, found._replace(latents=np.zeros((1, 2, 2, 3))), found)
