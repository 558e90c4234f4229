"""Drawings and files that a person gives to the page become images of the model's shape."""

import io

import numpy as np
import pytest
from PIL import Image

from ddgan_jax.core.errors import UserError
from ddgan_jax.demo import pictures
from ddgan_jax.demo.pictures import Look, drawn, look_of, uploaded

SHAPE = (8, 8, 1)


def stroke(top=40, bottom=240, left=130, right=150):
    layer = np.zeros((280, 280, 4), np.uint8)
    layer[top:bottom, left:right, 3] = 255  # black and opaque
    return layer


def test_a_drawing_has_the_size_and_the_place_of_the_models_images():
    image = drawn([stroke()], SHAPE, Look(light=True, extent=0.75))
    assert image.shape == SHAPE and image.dtype == np.uint8
    rows, columns = np.nonzero(image[..., 0])
    assert (rows.min(), rows.max()) == (1, 6)  # 6 of 8 rows, in the middle
    assert set(columns) == {3} and image.max() == 255
    corner = drawn([stroke(0, 100, 0, 10)], SHAPE, Look(extent=0.75))
    np.testing.assert_array_equal(corner, image)


def test_the_color_of_the_ink_does_not_matter_and_layers_add_up():
    red = stroke()
    red[..., 0] = 255
    both = drawn([red, stroke(130, 150, 40, 240)], (16, 16, 3), Look())
    assert both.shape == (16, 16, 3) and len(set(both[8, 0])) == 1
    assert both[8, 0, 0] > 100 and both[0, 8, 0] > 100
    assert both[0, 0].tolist() == [0, 0, 0]
    dark = drawn([red], SHAPE, Look(light=False, extent=0.5))
    assert dark[0, 0, 0] == 255 and dark.min() == 0


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([], "there is no image"),
        ([np.zeros((9, 9, 4), np.uint8)], "there is no image"),
        ([np.zeros((9, 9, 3), np.uint8)], r"uint8 \(9, 9, 3\)"),
        ([np.zeros((9, 9, 4), np.float32)], "float32"),
    ],
)
def test_drawings_that_are_none(layers, words):
    with pytest.raises(UserError, match=words):
        drawn(layers, SHAPE, Look())


def test_the_look_is_that_of_the_models_images():
    images = np.zeros((3, 10, 10, 1), np.uint8)
    images[:, 2:7, 4:6] = 255
    assert look_of(images) == Look(True, 0.5)
    assert look_of(255 - images) == Look(False, 0.5)
    assert look_of(np.zeros_like(images)) == Look(True, 1.0)


def picture_file(path, size, color=200, kind="PNG"):
    Image.new("RGB", size, (color,) * 3).save(path, kind)
    return path


def test_files_are_scaled_and_cropped(tmp_path):
    path = picture_file(tmp_path / "a.png", (40, 20))
    assert uploaded(path, SHAPE).tolist() == np.full(SHAPE, 200).tolist()
    assert uploaded(path, (8, 8, 3), swap=True).tolist() == np.full((8, 8, 3), 55).tolist()


def test_photos_stand_as_the_camera_was_held(tmp_path):
    image = Image.new("L", (16, 16), 0)
    image.paste(255, (0, 0, 8, 16))  # light on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees: the left is the top
    image.save(tmp_path / "a.png", exif=exif)
    found = uploaded(tmp_path / "a.png", SHAPE)
    assert (found[:3] == 255).all() and (found[5:] == 0).all()


def test_files_that_cannot_be_used_are_one_line(tmp_path, monkeypatch):
    wrong = tmp_path / "a.png"
    wrong.write_text("no image")
    eps = io.BytesIO()
    Image.new("RGB", (20, 20)).save(eps, "EPS")
    (tmp_path / "b.png").write_bytes(eps.getvalue())  # would be run by Ghostscript
    cases = [
        (wrong, SHAPE, "a.png is not a readable image"),
        (tmp_path / "b.png", SHAPE, "b.png is not a readable image"),
        (tmp_path / "none.png", SHAPE, "none.png cannot be read"),
        (tmp_path, SHAPE, "not a regular file|cannot be read"),
        (picture_file(tmp_path / "small.png", (7, 9)), SHAPE, "small.png: it is 9x7; at least 8x8"),
        (picture_file(tmp_path / "long.png", (900, 9)), SHAPE, "long.png: it is 9x900; sides"),
        (picture_file(tmp_path / "c.png", (9, 9)), (8, 6, 1), "are 8x6; files need square"),
    ]
    for path, shape, words in cases:
        with pytest.raises(UserError, match=words) as error:
            uploaded(path, shape)
        assert "\n" not in str(error.value)
    monkeypatch.setattr(pictures, "LARGEST_FILE", 10)
    with pytest.raises(UserError, match=r"c.png has \d+ bytes; at most 10 are allowed"):
        uploaded(tmp_path / "c.png", SHAPE)
