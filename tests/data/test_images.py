"""Images: transparency, enlargement, formats."""

import io
import warnings

import numpy as np
import pytest
from data_files import load, refused, write_mnist
from PIL import Image

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.images import Fit, fit_array, fit_image, open_image
from ddgan_jax.data.preparation import write_dataset


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


def test_images_are_enlarged_smoothly():
    ramp = np.broadcast_to(np.arange(0, 240, 30, dtype=np.uint8), (3, 8, 8))[..., None]
    large = fit_array(ramp, Fit(32)).astype(int)
    assert np.diff(large[0, 16, :, 0]).max() < 15  # nearest pixels would make steps of 30


def test_enlarged_images_are_noted(tmp_path):
    (note,) = load("digits", image_size=32, split="train[:5]+test[:5]").notes
    assert note.startswith("images of 8x8 are enlarged to 32x32")
    for fields in (dict(), dict(image_size=4), dict(image_size=32, fit="pad"), dict(channels=3)):
        assert load("digits", **fields).notes == ()
    write_mnist(tmp_path / "raw")
    write_dataset("mnist", str(tmp_path / "raw"), str(tmp_path / "tfds"))
    (note,) = load("tfds:mnist", tmp_path / "tfds", image_size=32).notes
    assert note.startswith("images of 28x28 are enlarged to 32x32")
    assert load("tfds:mnist", tmp_path / "tfds", image_size=14).notes == ()


@pytest.mark.parametrize("size", [14, 5, 7])
def test_shrinking_averages_over_boxes_bit_for_bit(size):
    array = np.random.default_rng(1).integers(256, size=(28, 28), dtype=np.uint8)
    image = Image.fromarray(array)
    expected = np.array(image.resize((size, size), Image.Resampling.BOX))
    np.testing.assert_array_equal(fit_image(image, Fit(size))[..., 0], expected)


def test_postscript_is_not_opened():
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    assert Image.open(io.BytesIO(eps)).format == "EPS"  # Pillow would
    refused(lambda: open_image(io.BytesIO(eps), "a.png").__enter__(), "a.png is not a readable")


def test_damaged_images_are_refused_in_one_line():
    out = io.BytesIO()
    noise = np.random.default_rng(0).integers(256, size=(8, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, "PNG")
    good = out.getvalue()

    def read(data):
        with open_image(io.BytesIO(data), "a.png") as image:
            return fit_image(image, Fit(4))

    assert read(good).shape == (4, 4, 3)
    for length in range(0, len(good) - 20, 7):
        refused(lambda length=length: read(good[:length]), "a.png is not a readable image")


def test_a_large_photo_is_read_without_a_warning():
    header = b"P5 9500 9500 255 "  # Pillow warns above 89 megapixels
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_image(io.BytesIO(header), "a.pgm") as image:
            assert image.size == (9500, 9500)


@pytest.mark.parametrize("size", [(1, 400_000), (65, 1)])
def test_a_very_thin_image_is_refused_before_it_is_resized(size):
    with pytest.raises(UserError, match=f"{size[0]}x{size[1]} pixels; .* at most 64"):
        fit_image(Image.new("L", size), Fit(64))
    assert fit_image(Image.new("L", (64, 1)), Fit(2)).shape == (2, 2, 1)
    assert fit_image(Image.new("L", (1, 70)), Fit()).shape == (70, 1, 1)
