"""Deterministic degradations, and generator outputs normalized by them."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
from jax.test_util import check_grads

from ddgan_jax.core.errors import UserError
from ddgan_jax.data import digits
from ddgan_jax.diffusion.degradations import degradation, normalize_output
from ddgan_jax.parallel import mesh as meshes

LEVELS = {  # of 8 x 16 images
    "blur": (6.0, 3.0, 1.5, 0.5),
    "pool": (8.0, 4.0, 2.0),
    "dct": (1.0, 2.0, 4.0, 7.0),
}
SHAPE = (8, 16, 2)


@pytest.fixture(params=LEVELS)
def kind(request):
    return request.param


def build(kind, shape=SHAPE):
    return degradation(kind, LEVELS[kind], shape)


def images(count=4, shape=SHAPE, seed=0):
    return np.random.default_rng(seed).standard_normal((count, *shape)).astype(np.float32)


def test_t_max_is_the_image_and_0_is_a_constant(kind):
    d = build(kind)
    assert d.t_max == len(LEVELS[kind]) + 1
    x = images()
    np.testing.assert_array_equal(d.reduce_info(x, d.t_max), x)
    for data in (x, x + 100, 0 * x):
        np.testing.assert_array_equal(d.reduce_info(data, 0), np.zeros_like(x))
    x[0, 0, 0, 0] = np.inf  # selected rather than computed
    np.testing.assert_array_equal(d.reduce_info(x, d.t_max), x)
    np.testing.assert_array_equal(d.reduce_info(x, 0), np.zeros_like(x))


def expected(kind, level, x):
    if kind == "blur":
        sigmas = (0, level, level, 0)
        return scipy.ndimage.gaussian_filter(x, sigmas, mode="reflect", truncate=8)
    if kind == "pool":
        n = int(level)
        batch, height, width, channels = x.shape
        means = x.reshape(batch, height // n, n, width // n, n, channels).mean(axis=(2, 4))
        return means.repeat(n, axis=1).repeat(n, axis=2)
    spectrum = scipy.fft.dctn(x, axes=(1, 2), norm="ortho")
    spectrum[:, int(level) :] = 0
    spectrum[:, :, int(level) :] = 0
    return scipy.fft.idctn(spectrum, axes=(1, 2), norm="ortho")


def test_values_match_reference_implementations(kind):
    d, x = build(kind), images()
    for t, level in enumerate(LEVELS[kind], start=1):
        wanted = expected(kind, level, x.astype(np.float64))
        np.testing.assert_allclose(d.reduce_info(x, t), wanted, atol=1e-5)


def test_information_grows(kind):
    d, x = build(kind), images()
    losses = [float(jnp.mean(jnp.square(d.reduce_info(x, t) - x))) for t in range(d.t_max + 1)]
    assert losses == sorted(losses, reverse=True) and losses[-1] == 0
    assert all(a > b for a, b in pairwise(losses))


def test_constants_and_means_are_unchanged(kind):
    d, x = build(kind), images()
    for t in range(1, d.t_max + 1):
        np.testing.assert_allclose(d.reduce_info(0 * x + 0.7, t), 0.7, atol=1e-6)
        kept = d.reduce_info(x, t).mean(axis=(1, 2))
        np.testing.assert_allclose(kept, x.mean(axis=(1, 2)), atol=1e-6)


def test_projections_are_nested_and_blur_is_not(kind):
    d, x = build(kind), images()
    gaps = [
        np.abs(d.reduce_info(d.reduce_info(x, t + 1), t) - d.reduce_info(x, t)).max()
        for t in range(d.t_max)
    ]
    assert max(gaps) > 0.01 if kind == "blur" else max(gaps) < 1e-5


def chain(d, raws):
    """x'_0..x'_{t_max} of a generator whose outputs are `raws`."""
    x = [d.reduce_info(raws[0], 0)]
    for t, raw in enumerate(raws):
        x.append(normalize_output(d.reduce_info, raw, x[-1], t)[0])
    return x


@pytest.mark.parametrize("kind", ["pool", "dct"])
@pytest.mark.parametrize("shape", [SHAPE, (32, 32, 1)])
def test_normalized_outputs_agree_with_all_that_came_before(kind, shape):
    levels = LEVELS[kind] if shape == SHAPE else {"pool": (32, 8, 2), "dct": (1, 5, 20)}[kind]
    d = degradation(kind, levels, shape)
    x = chain(d, [images(2, shape, seed) for seed in range(d.t_max)])
    for later in range(d.t_max + 1):
        for t in range(later + 1):
            gap = np.abs(d.reduce_info(x[later], t) - x[t]).max()
            assert gap < 1e-5, (later, t, gap)
    assert np.abs(x[-1] - x[-2]).max() > 0.1


def test_blur_agrees_approximately():
    """With digits as the generator's outputs, the error is a fraction of what blur removes."""
    source = digits("test")
    x = source.take(np.arange(64))["image"].astype(np.float32) / 127.5 - 1
    d = degradation("blur", (1.5, 1.25, 1.0, 0.75, 0.5), (8, 8, 1))
    raws = [np.roll(x, seed, axis=0) for seed in range(d.t_max)]
    made = chain(d, raws)
    for t in range(d.t_max):
        gap = float(jnp.sqrt(jnp.mean(jnp.square(d.reduce_info(made[t + 1], t) - made[t]))))
        assert gap < 0.3, (t, gap)


def test_equations_2_and_3():
    d, raw, x_t = build("blur"), images(seed=1), images(seed=2)
    for t in range(d.t_max):
        x_next, norm = normalize_output(d.reduce_info, raw, x_t, t)
        np.testing.assert_allclose(norm, raw - d.reduce_info(raw, t) + x_t, atol=1e-6)
        np.testing.assert_allclose(x_next, d.reduce_info(norm, t + 1), atol=1e-6)
    np.testing.assert_array_equal(x_next, norm)  # at t_max x_{t+1} is the image


def test_gradients_of_the_normalization(kind):
    """With respect to the network's output and its input, in float64."""
    with jax.enable_x64(True):
        d = build(kind)
        raw, x_t, weight = (jnp.asarray(images(2, seed=s), jnp.float64) for s in range(3))
        for t in range(d.t_max):

            def value(raw, x_t, t=t):
                x_next, norm = normalize_output(d.reduce_info, raw, x_t, jnp.int32(t))
                assert x_next.dtype == jnp.float64
                return jnp.sum(jnp.tanh(x_next) * weight) + jnp.sum(jnp.sin(norm))

            check_grads(value, (raw, x_t), order=1, modes=["rev"], rtol=1e-7)


def test_reduce_info_is_the_same_under_all_transformations(kind):
    """Eagerly, jitted, vmapped, pmapped and sharded; with one t and with a t per sample."""
    d, x = build(kind), images(16)
    t = np.arange(16, dtype=np.int32) % (d.t_max + 1)
    wanted = np.stack([d.reduce_info(x[i], int(t[i])) for i in range(16)])

    def same(got):
        np.testing.assert_allclose(np.asarray(got).reshape(wanted.shape), wanted, atol=1e-6)

    same(d.reduce_info(x, t))
    same(jax.jit(d.reduce_info)(x, t))
    same(jax.vmap(d.reduce_info)(x, t))
    count = jax.local_device_count()
    assert count == 8
    same(jax.pmap(d.reduce_info)(x.reshape(count, 2, *SHAPE), t.reshape(count, 2)))
    split = meshes.batch_sharded(meshes.make_mesh())
    sharded = jax.jit(d.reduce_info, in_shardings=(split, split), out_shardings=split)(x, t)
    assert len(sharded.sharding.device_set) == 8
    same(sharded)
    scalar = jax.jit(d.reduce_info)
    for now in range(d.t_max + 1):
        got = scalar(x, jnp.int32(now))
        np.testing.assert_allclose(got, d.reduce_info(x, now), atol=1e-6)
    np.testing.assert_array_equal(scalar(x, jnp.int32(d.t_max)), x)


def test_normalize_output_is_the_same_under_all_transformations(kind):
    d, raw, x_t = build(kind), images(16), images(16, seed=1)
    t = np.arange(16, dtype=np.int32) % d.t_max

    def normalized(raw, x_t, t):
        return normalize_output(d.reduce_info, raw, x_t, t)

    alone = [normalized(raw[i], x_t[i], int(t[i])) for i in range(16)]
    wanted = [np.stack(part) for part in zip(*alone, strict=True)]

    def same(got):
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_allclose(np.asarray(a).reshape(b.shape), b, atol=2e-6)

    same(normalized(raw, x_t, t))
    same(jax.jit(normalized)(raw, x_t, t))
    same(jax.vmap(normalized)(raw, x_t, t))
    parts = [x.reshape(8, 2, *x.shape[1:]) for x in (raw, x_t, t)]
    same(jax.pmap(normalized)(*parts))
    split = meshes.batch_sharded(meshes.make_mesh())
    same(jax.jit(normalized, in_shardings=split, out_shardings=split)(raw, x_t, t))


@pytest.mark.parametrize(
    "kind, levels, says",
    [
        ("blurr", (1.0,), "one of blur, pool, dct is needed; did you mean 'blur'?"),
        ("blur", (2.0, 3.0), "decreasing positive standard deviations are needed"),
        ("blur", (0.0,), "decreasing positive standard deviations are needed"),
        ("pool", (8.0, 3.0), "a divisor of the one before and of 8"),
        ("pool", (16.0, 8.0), "a divisor of the one before and of 8"),
        ("pool", (8.0, 1.0), "window sizes above 1"),
        ("pool", (2.0, 4.0), "a divisor of the one before"),
        ("dct", (2.0, 2.0), "increasing integers from 1 to 7"),
        ("dct", (2.5,), "increasing integers"),
        ("dct", (0.0,), "from 1 to 7"),
        ("dct", (8.0,), "from 1 to 7"),
    ],
)
def test_levels_that_do_not_fit_are_one_line(kind, levels, says):
    with pytest.raises(UserError) as error:
        degradation(kind, levels, SHAPE)
    message = str(error.value)
    assert says in message and "\n" not in message and "config.degradation." in message


def test_data_without_pixels_are_refused():
    with pytest.raises(UserError, match=r"images are needed, the data have shape \(2,\)"):
        degradation("pool", (2.0,), (2,))
