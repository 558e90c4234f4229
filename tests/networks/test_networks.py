"""Networks: dtypes, dependence on each input, resampling against its definition."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddgan_jax.networks import layers, mlp, resample
from ddgan_jax.networks.embedding import Embedding
from ddgan_jax.networks.encoder import MLPEncoder, ResBlockEncoder
from ddgan_jax.networks.layers import conv, dense
from ddgan_jax.networks.mlp import MLPDiscriminator, MLPGenerator
from ddgan_jax.networks.ncsnpp import NCSNpp
from ddgan_jax.networks.resblock import ResBlockDiscriminator
from ddgan_jax.networks.resblock_unet import ResBlockUNet
from ddgan_jax.networks.uvit import unpatchify
from ddgan_jax.networks.wavelet_ncsnpp import WaveletNCSNpp


def inputs(batch: int, size: int, channels: int, nz: int):
    return (
        jnp.zeros((batch, size, size, channels)),
        jnp.zeros(batch, jnp.int32),
        jnp.zeros((batch, nz)),
    )


def fir_matrix(size: int, kind: str) -> np.ndarray:
    """The linear map of one axis, from the definition: pad, filter (1,3,3,1), pick."""
    taps = np.array([1, 3, 3, 1]) / 8
    before, after, stuffing, stride = {
        "down": (1, 1, 1, 2),
        "up": (2, 1, 2, 1),
        "blur": (2, 2, 1, 1),
    }[kind]
    stuffed = np.zeros((size * stuffing, size))
    stuffed[::stuffing] = np.eye(size)
    padded = np.pad(stuffed, ((before, after), (0, 0)))
    rows = [taps @ padded[i : i + 4] for i in range(len(padded) - 3)][::stride]
    return np.array(rows) * stuffing  # gain 4 over two axes when upsampling


@pytest.mark.parametrize(
    "kind, function",
    [("down", resample.downsample), ("up", resample.upsample), ("blur", resample.blur)],
)
def test_resampling_is_the_fir_filter(kind, function):
    x = np.random.default_rng(0).standard_normal((2, 6, 8, 3)).astype(np.float32)
    rows, columns = fir_matrix(6, kind), fir_matrix(8, kind)
    expected = np.einsum("ih,jw,bhwc->bijc", rows, columns, x)
    np.testing.assert_allclose(function(x), expected, atol=1e-5)


def test_minibatch_stddev_groups_samples_by_remainder():
    x = np.random.default_rng(0).standard_normal((8, 2, 2, 3)).astype(np.float32)
    out = np.asarray(layers.minibatch_stddev(jnp.asarray(x)))
    np.testing.assert_array_equal(out[..., :3], x)
    for i in range(8):
        group = x[[j for j in range(8) if j % 2 == i % 2]]  # B/g = 2
        np.testing.assert_allclose(out[i, :, :, 3], np.sqrt(group.var(0) + 1e-8).mean(), rtol=1e-5)
    with pytest.raises(ValueError, match="divisible"):
        layers.minibatch_stddev(jnp.zeros((6, 2, 2, 3)))


def test_group_count_divides():
    expected = {1: 1, 3: 1, 4: 1, 6: 1, 16: 4, 48: 12, 128: 32, 384: 32}
    assert {c: layers.group_count(c) for c in expected} == expected
    assert all(c % layers.group_count(c) == 0 for c in range(1, 600))


def test_adaptive_group_norm_starts_as_group_norm():
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 8))
    module = layers.AdaptiveGroupNorm()
    variables = module.init(jax.random.key(1), x, Embedding(jnp.ones((2, 5)), {}))
    nothing = Embedding(jnp.zeros((2, 5)), {})  # so that the bias is alone: scale 1, shift 0
    out = module.apply(variables, x, nothing)
    grouped = np.asarray(out).reshape(2, 16, 2, 4)
    np.testing.assert_allclose(grouped.mean(axis=(1, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(grouped.var(axis=(1, 3)), 1, atol=1e-3)


SMALL_UNET = dict(
    channels=1, width=4, multipliers=(1, 1), blocks=1, attention=(), z_width=4, z_layers=0
)


@pytest.mark.parametrize(
    "generator",
    [
        pytest.param(NCSNpp, marks=pytest.mark.slow),
        pytest.param(WaveletNCSNpp, marks=pytest.mark.slow),
        lambda **kw: ResBlockUNet(1, 4, (1, 2), 1, 8, coordinates=True, dtype=kw["dtype"]),
        lambda **kw: MLPGenerator(16, 1, 8, 2, True, dtype=kw["dtype"]),
    ],
    ids=["ncsnpp", "wavelet", "resblock", "mlp"],
)
def test_bfloat16_compute_keeps_float32_parameters_and_output(generator):
    x, t, z = inputs(2, 8, 1, 4)
    x = x + 0.3
    full, half = (generator(**SMALL_UNET, dtype=d) for d in (jnp.float32, jnp.bfloat16))
    variables = jax.jit(half.init)(jax.random.key(0), x, t, z)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    out = jax.jit(half.apply)(variables, x, t, z)
    assert out.dtype == jnp.float32
    np.testing.assert_allclose(out, jax.jit(full.apply)(variables, x, t, z), atol=0.05)


def test_resblock_unet_depends_on_image_time_latent_and_position():
    x, t, z = inputs(2, 8, 1, 4)
    x = jax.random.normal(jax.random.key(1), x.shape)
    module = ResBlockUNet(1, 4, (1, 2), 1, 8, tanh=False, coordinates=True, equalized=True)
    variables = jax.jit(module.init)(jax.random.key(0), x, t, z)
    # Random weights of one size: initially the residual branches are near zero.
    rng = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32), variables
    )
    apply = jax.jit(module.apply)
    out = apply(variables, x, t, z)
    assert out.shape == x.shape
    for changed in ((x.at[:, 0, 0].add(1.0), t, z), (x, t + 1, z), (x, t, z + 0.5)):
        assert jnp.abs(apply(variables, *changed) - out).max() > 0.01
    flat = apply(
        variables, jnp.zeros_like(x), t, z
    )  # away from the border only the coordinates differ
    assert jnp.ptp(flat[:, 3:5, 3:5]) > 0.01


def test_unpatchify_moves_channels_into_squares_of_pixels():
    x = jnp.arange(2 * 2 * 3 * 12.0).reshape(2, 2, 3, 12)
    y = unpatchify(x, 2)
    assert y.shape == (2, 4, 6, 3)
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        first = 3 * (2 * i + j)
        np.testing.assert_array_equal(y[:, i::2, j::2], x[..., first : first + 3])
    np.testing.assert_array_equal(unpatchify(x, 1), x)


def test_discriminators_give_one_float32_logit_per_sample():
    x, t, _ = inputs(4, 8, 1, 4)
    for module in (
        ResBlockDiscriminator(4, (2, 4), (False, True), 8, 1.0, dtype=jnp.bfloat16),
        MLPDiscriminator(16, 1, 8, 0, group=4, dtype=jnp.bfloat16),
    ):
        out, _ = jax.jit(module.init_with_output)(jax.random.key(0), x, t, x)
        assert out.shape == (4,) and out.dtype == jnp.float32


@pytest.mark.slow
@pytest.mark.parametrize("generator, multipliers", [(NCSNpp, (1,)), (WaveletNCSNpp, (1, 1))])
def test_remat_changes_memory_not_numbers(generator, multipliers):
    x, t, z = inputs(2, 8, 1, 4)
    x = jax.random.normal(jax.random.key(1), x.shape)
    sizes = SMALL_UNET | dict(multipliers=multipliers)
    plain, remat = generator(**sizes), generator(**sizes, remat=True)
    variables = jax.jit(plain.init)(jax.random.key(0), x, t, z)
    renamed = jax.eval_shape(remat.init, jax.random.key(0), x, t, z)
    assert jax.tree.structure(variables) == jax.tree.structure(renamed)

    def grad(module):
        loss = lambda v: jnp.sum(jnp.square(module.apply(v, x, t, z)))  # noqa: E731
        return jax.jit(jax.grad(loss))(variables)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        grad(plain),
        grad(remat),
    )


def test_fourier_features_are_the_input_and_its_octaves():
    x = jnp.array([[0.3, -1.0]])
    out = np.asarray(mlp.fourier_features(x, 3, fade=0.5))[0]
    assert out.shape == (2 * 7,)
    np.testing.assert_allclose(out[:2], x[0])
    for i, value in enumerate((0.3, -1.0)):
        features = out[2 + 6 * i : 8 + 6 * i]
        expected = [2 ** (-k / 2) * np.sin(2**k * value) for k in range(3)]
        expected += [2 ** (-k / 2) * np.cos(2**k * value) for k in range(3)]
        np.testing.assert_allclose(features, expected, rtol=1e-5)
    np.testing.assert_array_equal(mlp.fourier_features(x, 0, fade=0.0), x)


def test_fourier_features_of_the_latent_leave_the_rest_alone():
    fields = dict(width=8, blocks=1, t_width=4, octaves=0, tanh=False)
    plain, expanded = mlp.MLPGenerator(**fields), mlp.MLPGenerator(**fields, z_octaves=3)
    x, t, z = jnp.ones((2, 5)), jnp.zeros(2, jnp.int32), jnp.array([[0.3, -1.0], [2.0, 0.1]])
    variables = expanded.init(jax.random.key(0), x, t, z)
    assert variables["params"]["trunk"]["block_0_emb"]["kernel"].shape == (4 + 2 * 7, 8)
    assert variables["params"]["trunk"]["in"]["kernel"].shape == (5, 8)
    expected = plain.apply(variables, x, t, mlp.fourier_features(z, 3, fade=0.0))
    np.testing.assert_allclose(expanded.apply(variables, x, t, z), expected, rtol=1e-6)


def test_with_skip_the_generator_starts_as_the_identity():
    x = jax.random.normal(jax.random.key(0), (3, 5), jnp.bfloat16)
    t, z = jnp.arange(3), jnp.ones((3, 2))
    for tanh, expected in ((False, x), (True, jnp.tanh(x.astype(jnp.float32)))):
        fields = dict(width=8, blocks=1, t_width=4, octaves=0, tanh=tanh)
        module = mlp.MLPGenerator(**fields, skip=True)
        variables = module.init(jax.random.key(1), x, t, z)
        out = module.apply(variables, x, t, z)
        assert out.dtype == jnp.float32
        np.testing.assert_allclose(out, expected.astype(jnp.float32), atol=1e-3)
        plain = mlp.MLPGenerator(**fields)
        assert jax.tree.structure(plain.init(jax.random.key(1), x, t, z)) == jax.tree.structure(
            variables
        )
        assert float(jnp.abs(plain.apply(variables, x, t, z)).max()) < 1e-3


def test_equalized_weights_start_at_one_and_are_scaled_when_used():
    x = jax.random.normal(jax.random.key(0), (64, 5, 5, 48))
    plain = dict(dtype=jnp.float32)
    for make, fan_in in (
        (lambda **kw: conv(96, 3, **plain, **kw), 9 * 48),
        (lambda **kw: dense(96, **plain, **kw), 48),
    ):
        module = make(equalized=True)
        variables = module.init(jax.random.key(1), x)
        kernel = variables["params"]["kernel"]
        assert abs(float(kernel.std()) - 1) < 0.03
        scaled = {"params": {**variables["params"], "kernel": kernel / fan_in**0.5}}
        np.testing.assert_allclose(module.apply(variables, x), make().apply(scaled, x), atol=1e-4)


@pytest.mark.slow
def test_coordinates_tell_the_pixels_of_a_flat_image_apart():
    """Compares pixels away from the border, which zero padding does not reach."""
    sizes = dict(
        channels=1, width=4, multipliers=(1,), blocks=1, attention=(), z_width=4, z_layers=0
    )
    x, t, z = jnp.zeros((1, 24, 24, 1)), jnp.zeros(1, jnp.int32), jnp.ones((1, 3))
    spread = []
    for coordinates in (False, True):
        module = NCSNpp(**sizes, tanh=False, equalized=True, coordinates=coordinates)
        variables = jax.jit(module.init)(jax.random.key(0), x, t, z)
        kernel = variables["params"]["conv_in"]["kernel"]
        assert kernel.shape[2] == 1 + 2 * coordinates
        variables["params"]["conv_out"]["kernel"] = jnp.ones_like(
            variables["params"]["conv_out"]["kernel"]
        )
        inner = jax.jit(module.apply)(variables, x, t, z)[0, 10:14, 10:14]
        spread.append(float(inner.max() - inner.min()))
    assert spread[0] < 1e-5 and spread[1] > 1e-2


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_encoders_have_two_heads(dtype):
    x, t = jnp.ones((4, 8, 8, 1)), jnp.zeros(4, jnp.int32)
    for module in (
        ResBlockEncoder(5, 6, 4, (2, 4), (False, True), 8, 4, True, dtype=dtype),
        MLPEncoder(5, 6, 16, 1, 8, 4, True, dtype=dtype),
    ):
        (logits, latents), variables = jax.jit(module.init_with_output)(jax.random.key(0), x, t)
        assert logits.shape == (4, 5) and latents.shape == (4, 6)
        assert logits.dtype == latents.dtype == jnp.float32
        encode = jax.jit(functools.partial(module.apply, logits=False))
        none, alone = encode(variables, x[:3], t[:3])
        assert none is None
        np.testing.assert_allclose(alone, latents[:3], atol=1e-2 if dtype != jnp.float32 else 1e-5)
