"""Images: transparency, enlargement, formats."""

import io

import numpy as np
import pytest
from data_files import load
from PIL import Image

from ddgan_jax.data import images
from ddgan_jax.data.images import Fit, fit_array, fit_image, open_image, unreadable


def checkered(mode):
    """A 2x1 image: left opaque and dark, right transparent black."""
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((0, 0), (50, 50, 50, 255))
    if mode == "P":
        palette = Image.new("P", (2, 1), 1)
        palette.putpalette([50, 50, 50, 0, 0, 0])
        palette.putpixel((0, 0), 0)
        palette.info["transparency"] = 1
        return palette
    return image.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_composited(mode):
    pixels = fit_image(checkered(mode), Fit(channels=3))
    assert pixels.tolist() == [[[50] * 3, [255] * 3]]
    red = fit_image(checkered(mode), Fit(channels=3, background=(255, 0, 0)))
    assert red.tolist() == [[[50] * 3, [255, 0, 0]]]
    assert fit_image(checkered(mode), Fit(channels=1)).tolist() == [[[50], [255]]]
    assert fit_image(checkered("LA"), Fit()).shape == (1, 2, 1)


def test_half_transparent_pixels_are_blended():
    pixels = fit_image(Image.new("RGBA", (1, 1), (0, 0, 0, 128)), Fit())
    assert abs(int(pixels[0, 0, 0]) - 127) <= 1


def test_opaque_alpha_changes_nothing():
    random = np.random.default_rng(0).integers(256, size=(5, 7, 4), dtype=np.uint8)
    random[..., 3] = 255
    np.testing.assert_array_equal(fit_image(Image.fromarray(random), Fit()), random[..., :3])


def test_images_are_enlarged_smoothly_and_it_is_said_once(capsys, monkeypatch):
    monkeypatch.setattr(images, "_enlarged_to", set())
    ramp = np.broadcast_to(np.arange(0, 240, 30, dtype=np.uint8), (3, 8, 8))[..., None]
    large = fit_array(ramp, Fit(32)).astype(int)
    steps = np.diff(large[0, 16, :, 0])
    assert steps.max() < 15  # nearest pixels would make steps of 30
    fit_array(ramp, Fit(32))
    assert capsys.readouterr().err.count("note: images of 8 pixels are enlarged to 32") == 1
    fit_array(ramp, Fit(4))
    fit_array(ramp, Fit(32, "pad"))
    assert not capsys.readouterr().err


def test_enlarged_digits_say_so(capsys, monkeypatch):
    monkeypatch.setattr(images, "_enlarged_to", set())
    assert load("digits", image_size=32, split="train[:10]").shape == (32, 32, 1)
    assert capsys.readouterr().err.count("enlarged to 32") == 1


@pytest.mark.parametrize("size", [14, 5, 7])
def test_shrinking_averages_over_boxes_bit_for_bit(size):
    array = np.random.default_rng(1).integers(256, size=(28, 28), dtype=np.uint8)
    image = Image.fromarray(array)
    expected = np.array(image.resize((size, size), Image.Resampling.BOX))
    np.testing.assert_array_equal(fit_image(image, Fit(size))[..., 0], expected)


def test_postscript_is_not_opened():
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    assert Image.open(io.BytesIO(eps)).format == "EPS"  # Pillow would
    with pytest.raises(unreadable()):
        open_image(io.BytesIO(eps))
