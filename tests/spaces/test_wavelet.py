"""The Haar transform: its definition and identities; the space of Haar bands."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs as runs

from ddgan_jax.config.overrides import load_config_file, override
from ddgan_jax.core.errors import UserError
from ddgan_jax.diffusion.haar import dwt, idwt
from ddgan_jax.methods import complete_config
from ddgan_jax.networks.wavelet_ncsnpp import join_low, split_low
from ddgan_jax.spaces import build_space
from ddgan_jax.spaces.pixels import pixels
from ddgan_jax.spaces.wavelet import wavelet

LEVELS = pytest.mark.parametrize("levels", [1, 2, 3])

forward = jax.jit(dwt, static_argnums=1)
inverse = jax.jit(idwt, static_argnums=1)


def dot(x, y) -> float:
    return np.vdot(np.asarray(x, np.float64), np.asarray(y, np.float64))


def images(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32))


def test_one_level_is_the_definition():
    x = np.asarray(images(2, 4, 6, 3))
    a, b = x[:, 0::2, 0::2], x[:, 0::2, 1::2]
    c, d = x[:, 1::2, 0::2], x[:, 1::2, 1::2]
    bands = (a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d)
    np.testing.assert_allclose(dwt(x), np.concatenate(bands, -1) / 2, atol=1e-6)


def test_two_levels_are_bands_of_bands():
    x = images(1, 4, 8, 2)
    once = np.asarray(dwt(x))
    # The second level splits each of the 4 * 2 channels of the first into 4 bands.
    expected = dwt(jnp.asarray(once))
    assert expected.shape == (1, 1, 2, 32)
    np.testing.assert_array_equal(dwt(x, 2), expected)
    first_of_all = np.asarray(x).reshape(1, 1, 4, 2, 4, 2).sum((2, 4)) / 4
    np.testing.assert_allclose(dwt(x, 2)[..., :2], first_of_all, atol=1e-6)


@LEVELS
def test_the_inverse_rebuilds(levels):
    x = images(2, 8, 16, 3)
    bands = forward(x, levels)
    assert bands.shape == (2, 8 // 2**levels, 16 // 2**levels, 3 * 4**levels)
    np.testing.assert_allclose(inverse(bands, levels), x, atol=1e-6)
    y = images(2, 1, 2, 3 * 4**levels, seed=1)
    np.testing.assert_allclose(forward(inverse(y, levels), levels), y, atol=1e-6)


@LEVELS
def test_it_is_orthogonal(levels):
    """The transform keeps the energy; its inverse is its adjoint, also by autodiff."""
    x, y = images(2, 8, 16, 3), images(2, 8 // 2**levels, 16 // 2**levels, 3 * 4**levels, seed=1)
    bands = forward(x, levels)
    np.testing.assert_allclose(dot(bands, bands), dot(x, x), rtol=1e-6)
    back = inverse(y, levels)
    size = np.sqrt(dot(x, x) * dot(y, y))
    np.testing.assert_allclose(dot(bands, y), dot(x, back), rtol=0, atol=1e-7 * size)
    (gradient,) = jax.vjp(lambda x: forward(x, levels), x)[1](y)
    np.testing.assert_allclose(gradient, back, atol=1e-6)


@LEVELS
def test_eager_jit_and_vmap_agree(levels):
    x = images(3, 8, 8, 2)

    def there_and_back(x):
        bands = dwt(x, levels)
        return bands, idwt(bands, levels)

    expected = there_and_back(x)
    alone = jax.vmap(lambda x: tuple(y[0] for y in there_and_back(x[None])))(x)
    for got in (jax.jit(there_and_back)(x), alone):
        jax.tree.map(np.testing.assert_array_equal, got, expected)


def test_sizes_that_cannot_be_halved_are_refused():
    with pytest.raises(ValueError, match=r"2 Haar levels .* multiples of 4, got 6x8"):
        dwt(jnp.zeros((1, 6, 8, 1)), 2)
    with pytest.raises(ValueError, match=r"1 Haar levels .* multiple of 4 channels, got 6"):
        idwt(jnp.zeros((1, 2, 2, 6)))


@LEVELS
def test_bands_of_the_space_fill_the_range(levels):
    """Bands of images in [-1, 1] lie in [-1, 1], and each band reaches both ends."""
    space = wavelet((8, 8, 1), levels)
    assert space.shape == (8 // 2**levels, 8 // 2**levels, 4**levels)
    encode = jax.jit(lambda x: space.encode(x, ()))
    assert float(np.abs(encode(np.sign(images(64, 8, 8, 1)))).max()) <= 1
    # A band is largest for the sign of its basis function.
    count = 4**levels
    one = np.broadcast_to(np.eye(count, dtype=np.float32)[:, None, None], (count, *space.shape))
    best = np.sign(jax.jit(lambda x: space.decode(x, ()))(one))
    np.testing.assert_array_equal(encode(best), one)
    np.testing.assert_array_equal(encode(-best), -one)


@LEVELS
def test_the_first_band_of_the_space_is_the_mean_and_energy_is_scaled(levels):
    space, x = wavelet((8, 16, 3), levels), images(2, 8, 16, 3)
    block = 2**levels
    means = np.asarray(x).reshape(2, 8 // block, block, 16 // block, block, 3).mean((2, 4))
    bands = space.encode(x, ())
    np.testing.assert_allclose(bands[..., :3], means, atol=1e-6)
    np.testing.assert_allclose(dot(bands, bands) * 4**levels, dot(x, x), rtol=1e-6)
    np.testing.assert_allclose(space.decode(bands, ()), x, atol=1e-6)


@LEVELS
def test_without_the_published_scale_bands_have_the_energy_of_the_images(levels):
    space, x = wavelet((8, 16, 3), levels, scale=1.0), images(2, 8, 16, 3)
    bands = space.encode(x, ())
    np.testing.assert_allclose(dot(bands, bands), dot(x, x), rtol=1e-6)
    np.testing.assert_allclose(space.decode(bands, ()), x, atol=1e-6)
    to_images, to_bands = space.as_images
    np.testing.assert_allclose(to_bands(to_images(bands)), bands, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("ddgan_mnist28", {}, "config.gen.tanh is True; false with config.space.scale=1.0 "),
        ("wddgan_cifar10", {}, "config.gen.tanh is None; false with config.space.scale=1.0 "),
        ("wddgan_digits", {}, ""),
        ("ddpm_mnist28", {}, "config.sampler.clip is True; false with config.space.scale=1.0 "),
        ("ddpm_mnist28", {"sampler.clip": "false"}, ""),
    ],
)
def test_what_bounds_samples_is_refused_where_bands_exceed_one(name, fields, words):
    config = load_config_file(f"{runs.ROOT}/configs/{name}.py")
    config = override(complete_config(config), {"space.scale": "1.0", **fields})
    shape = (32, 32, 3) if name == "wddgan_cifar10" else (8, 8, 1)
    if words:
        with pytest.raises(UserError, match=words):
            build_space(config, shape)
    else:
        assert build_space(config, shape).shape == (4, 4, 4)


def test_a_space_given_on_the_command_line_brings_its_fields():
    flags = runs.flags(["space.kind=wavelet", "space.levels=2", "space.scale=4"])
    config = runs.config_of(f"--config={runs.ROOT}/configs/ddgan_mnist.py", *flags)
    assert config.space.to_dict() == {"kind": "wavelet", "levels": 2, "scale": 4.0}


def test_the_space_takes_images_as_they_are_stored():
    stored = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), np.uint8)
    space, plain = wavelet((4, 4, 3), 1), pixels((4, 4, 3))
    as_float = plain.encode(jnp.asarray(stored), ())
    bands = space.encode(jnp.asarray(stored), ())
    assert bands.dtype == jnp.float32
    np.testing.assert_array_equal(bands, space.encode(as_float, ()))
    np.testing.assert_allclose(space.decode(bands, ()), as_float, atol=1e-6)


def test_bands_that_are_no_image_are_clipped_to_one():
    bands = images(4, 2, 2, 4)
    decoded = np.asarray(wavelet((4, 4, 1), 1).decode(bands, ()))
    free = np.asarray(2 * idwt(bands))
    assert np.abs(free).max() > 1
    np.testing.assert_array_equal(decoded, np.clip(free, -1, 1))


@pytest.mark.parametrize(
    "shape, levels, words",
    [
        ((2,), 1, "'wavelet' and data have shape .*; images are needed"),
        ((7, 8, 1), 1, "levels is 1 and images are 7x8; multiples of 2"),
        ((12, 8, 3), 3, "levels is 3 and images are 12x8; multiples of 8"),
    ],
)
def test_the_space_names_what_does_not_fit(shape, levels, words):
    with pytest.raises(UserError, match=words) as error:
        wavelet(shape, levels)
    assert "\n" not in str(error.value)


def test_low_band_of_the_network_stays_in_range():
    x = images(2, 4, 8, 3)
    low, high = split_low(x)
    assert low.shape == (2, 2, 4, 3) and high.shape == (2, 2, 4, 9)
    means = np.asarray(x).reshape(2, 2, 2, 4, 2, 3).mean((2, 4))
    np.testing.assert_allclose(low, means, atol=1e-6)
    np.testing.assert_allclose(join_low(low, high), x, atol=1e-6)
