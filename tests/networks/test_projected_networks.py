"""The networks of Projected GAN against formulas, and against published numbers of parameters."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddgan_jax.core.errors import UserError
from ddgan_jax.features.efficientnet import efficientnet_shapes, load_efficientnet
from ddgan_jax.interop.efficientnet import EPSILON, efficientnet_params, layers, shapes
from ddgan_jax.interop.weight_files import write_npz
from ddgan_jax.networks.efficientnet import LEVELS, EfficientNetLite0, Stage
from ddgan_jax.networks.fastgan import FastGAN, FirstLayer
from ddgan_jax.networks.layers import BATCH_STATS, batch_norm
from ddgan_jax.networks.multi_scale import Mixing, MultiScaleDiscriminator, enlarged
from ddgan_jax.networks.spectral_norm import SpectralConv, spectral_norm


def sizes(tree):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("shape", [(3, 3, 5, 7), (1, 1, 40, 8), (4, 4, 6, 1)])
def test_the_spectral_norm_is_the_largest_singular_value(shape):
    kernel = jax.random.normal(jax.random.key(0), shape)
    exact = np.linalg.svd(np.asarray(kernel).reshape(-1, shape[-1]), compute_uv=False)[0]
    assert float(spectral_norm(kernel, 200)) == pytest.approx(exact, rel=1e-5)
    assert 0.9 * exact < float(spectral_norm(kernel)) <= exact * (1 + 1e-6)


def test_the_gradient_of_the_spectral_norm_is_that_of_the_singular_value():
    kernel = jax.random.normal(jax.random.key(0), (3, 3, 5, 7))
    u, _, vt = np.linalg.svd(np.asarray(kernel).reshape(-1, 7), full_matrices=False)
    gradient = jax.grad(lambda k: spectral_norm(k, 200))(kernel)
    np.testing.assert_allclose(gradient.reshape(-1, 7), np.outer(u[:, 0], vt[0]), atol=1e-4)


def test_a_spectral_convolution_does_not_see_the_size_of_its_kernel():
    conv, x = SpectralConv(6, 3, padding=1), jax.random.normal(jax.random.key(0), (2, 5, 5, 4))
    variables = conv.init(jax.random.key(1), x)
    larger = jax.tree.map(lambda w: 3 * w, variables)
    np.testing.assert_allclose(conv.apply(variables, x), conv.apply(larger, x), atol=1e-5)


def test_a_batch_norm_leaves_the_statistics_of_the_batch():
    class Network(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            return batch_norm(x, train, jnp.float32, "norm")

    network, x = Network(), 2 + 3 * jax.random.normal(jax.random.key(0), (4, 3, 3, 5))
    start = network.init(jax.random.key(1), x, True)
    y, found = network.apply({"params": start["params"]}, x, True, mutable=BATCH_STATS)
    np.testing.assert_allclose(jnp.mean(y, (0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(jnp.std(y, (0, 1, 2)), 1, atol=1e-5)
    stats, flat = found[BATCH_STATS]["norm"], np.asarray(x).reshape(-1, 5)
    np.testing.assert_allclose(stats["mean"], flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(stats["var"], flat.var(0), rtol=1e-4)
    stored = {BATCH_STATS: {"norm": {"mean": jnp.ones(5), "var": jnp.full(5, 4.0)}}}
    z = network.apply({"params": start["params"], **stored}, x, False)
    np.testing.assert_allclose(z, (x - 1) / 2, rtol=1e-4, atol=1e-5)


def test_enlarging_keeps_corners_and_linear_functions():
    ramp = np.linspace(0, 3, 4)
    x = jnp.asarray(ramp[:, None] + 10 * ramp[None, :], jnp.float32)[None, :, :, None]
    y = enlarged(x)[0, :, :, 0]
    fine = np.linspace(0, 3, 8)
    np.testing.assert_allclose(y, fine[:, None] + 10 * fine[None, :], rtol=1e-5, atol=1e-5)
    assert enlarged(jnp.ones((1, 1, 1, 2))).tolist() == [[[[1, 1]] * 2] * 2]


def published_fastgan(resolution, width, latent=256, channels=3):
    """Number of parameters by the published sizes."""
    at = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 0.5}
    at = {r: int(m * width) for r, m in at.items()}
    total = latent * 2 * at[4] * 16 + 4 * at[4]
    for r in (r for r in at if 4 < r <= resolution):
        inside = at[r // 2]
        for _ in range(2):
            total += 9 * inside * 2 * at[r] + 4 * at[r] + 1
            inside = at[r]
    for r, low in ((64, 4), (128, 8), (256, 16)):
        total += (16 * at[low] * at[r] + at[r] ** 2) * (r <= resolution)
    return total + 9 * at[resolution] * channels + channels


@pytest.mark.parametrize("resolution", [32, 64, 256])
def test_fastgan_has_the_published_number_of_parameters(resolution):
    network = FastGAN(channels=3, resolution=resolution)
    noise = [jax.ShapeDtypeStruct((2, r, r), jnp.float32) for r in network.noise_sizes]
    z = jax.ShapeDtypeStruct((2, 256), jnp.float32)
    made = jax.eval_shape(lambda key, *a: network.init(key, *a, True), jax.random.key(0), z, noise)
    assert sizes(made["params"]) == published_fastgan(resolution, 128)


@pytest.mark.slow
def test_fastgan_uses_all_that_it_is_given():
    network = FastGAN(channels=3, resolution=64, width=2)
    z = jax.random.normal(jax.random.key(0), (2, 3))
    noise = [jax.random.normal(jax.random.key(r), (2, r, r)) for r in network.noise_sizes]
    variables = jax.jit(network.init, static_argnums=3)(jax.random.key(1), z, noise, True)
    params = jax.tree.map(lambda x: x + 0.1, variables["params"])  # noise has no weight at first

    @jax.jit
    def image(params, z, noise, stats):
        return network.apply({"params": params, BATCH_STATS: stats}, z, noise, False)

    stats = variables[BATCH_STATS]
    out = image(params, z, noise, stats)
    assert out.shape == (2, 64, 64, 3) and out.dtype == jnp.float32
    # z has its size removed.
    np.testing.assert_allclose(out, image(params, 5 * z, noise, stats), rtol=1e-3, atol=1e-4)
    gradients = jax.jit(jax.grad(lambda *a: jnp.sum(jnp.sin(image(*a))), argnums=(0, 2, 3)))(
        params, z, noise, stats
    )
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        assert bool(jnp.any(gradient != 0)), path


def test_the_discriminators_score_sixteen_patches_of_every_level():
    mixing, disc = Mixing(64), MultiScaleDiscriminator(64)
    key, found = jax.random.key(0), []
    levels = [
        jax.ShapeDtypeStruct((2, 56 >> i, 56 >> i, c), jnp.float32)
        for i, c in enumerate((24, 40, 112, 320))
    ]
    mixed, projections = jax.eval_shape(mixing.init_with_output, key, levels)
    found = [(x.shape[1], x.shape[3]) for x in mixed]
    assert found == [(112, 64), (56, 64), (28, 128), (14, 256)]
    logits, variables = jax.eval_shape(disc.init_with_output, key, mixed)
    assert logits.shape == (2, 64)
    halving = [(64, 64), (64, 128), (128, 256), (256, 512)]
    expected = sum(16 * a * b + 3 * b for i in range(4) for a, b in halving[i:]) + 4 * 16 * 512
    assert sizes(variables["params"]) == expected
    across = sum(a * b + b for a, b in zip((24, 40, 112, 320), (64, 128, 256, 512), strict=True))
    scales = sum(a * b + b for a, b in ((64, 64), (128, 64), (256, 128), (512, 256)))
    assert sizes(projections["params"]) == across + scales


def test_mixing_passes_low_levels_to_all_higher_ones():
    mixing = Mixing(2)
    levels = [jnp.ones((1, 8 >> i, 8 >> i, c)) for i, c in enumerate((3, 4, 5, 6))]
    params = mixing.init(jax.random.key(0), levels)
    before = mixing.apply(params, levels)
    for changed in range(4):
        other = [2 * x if i == changed else x for i, x in enumerate(levels)]
        after = mixing.apply(params, other)
        moved = [not np.allclose(a, b) for a, b in zip(before, after, strict=True)]
        assert moved == [i <= changed for i in range(4)]


def test_the_first_layer_is_a_transposed_convolution():
    layer, z = FirstLayer(6), jax.random.normal(jax.random.key(0), (2, 5))
    variables = layer.init(jax.random.key(1), z)
    kernel = variables["params"]["kernel"]
    assert kernel.shape == (4, 4, 5, 6) and float(jnp.abs(kernel).max()) <= 96**-0.5
    norm = np.linalg.svd(np.asarray(kernel).reshape(-1, 6), compute_uv=False)[0]
    y = layer.apply(variables, z)
    for h in range(4):
        for w in range(4):
            ratio = y[:, h, w] / (z @ kernel[h, w] / norm)
            np.testing.assert_allclose(ratio, np.full((2, 6), ratio[0, 0]), rtol=1e-4)
            assert 1 <= float(ratio[0, 0]) < 1.1  # power iterations stay below the norm


def random_arrays(levels, seed=0, stem=32):
    """Arrays of a file, as timm would write it."""
    draw, found = np.random.default_rng(seed), {}
    for name, shape in shapes(levels, stem).items():
        value = draw.standard_normal(shape) / math.sqrt(max(math.prod(shape[1:]), 1))
        if name.endswith("running_var"):
            value = 0.5 + np.square(value)
        found[name] = value.astype(np.float32)
    return found


def test_efficientnet_has_the_published_number_of_parameters():
    """timm counts 4,652,008, with a head of 320 to 1,280 channels and 1,000 classes."""
    trained = {k: v for k, v in shapes().items() if "running" not in k}
    head = 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    assert sum(map(math.prod, trained.values())) + head == 4_652_008
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    levels, _ = jax.eval_shape(EfficientNetLite0().init_with_output, jax.random.key(0), images)
    assert [x.shape[1:] for x in levels] == [
        (56, 56, 24),
        (28, 28, 40),
        (14, 14, 112),
        (7, 7, 320),
    ]


def test_batch_norms_folded_into_convolutions_compute_the_same():
    """A reference that applies the file's convolutions and norms one after the other."""
    levels = ((Stage(3, 1, 1, 4, 1), Stage(3, 2, 6, 6, 2)),)
    arrays = random_arrays(levels, stem=5)
    x = np.random.default_rng(1).standard_normal((2, 32, 32, 3)).astype(np.float32)
    (ours,) = EfficientNetLite0(levels, 5).apply(
        {"params": efficientnet_params(arrays, levels, 5)}, x
    )

    def layer(x, it, stride, active):
        weight = arrays[f"{it.conv}.weight"]
        y = jax.lax.conv_general_dilated(
            x,
            weight.transpose(2, 3, 1, 0),
            (stride, stride),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=x.shape[-1] // weight.shape[1],
        )
        scale, bias, mean, variance = (
            arrays[f"{it.norm}.{k}"] for k in ("weight", "bias", "running_mean", "running_var")
        )
        y = (y - mean) / np.sqrt(variance + EPSILON) * scale + bias
        return np.clip(y, 0, 6) if active else np.asarray(y)

    blocks = {}
    for it in layers(levels, 5):
        blocks.setdefault(it.path.split("/")[0], []).append(it)
    h = layer(x, blocks.pop("stem")[0], 2, True)
    for name, parts in blocks.items():
        before = h
        for it in parts:
            stride = 2 if name == "block_1_0" and it.path.endswith("depthwise") else 1
            h = layer(h, it, stride, not it.path.endswith("project"))
        h = h + before if h.shape == before.shape else h
    np.testing.assert_allclose(ours, h, rtol=1e-4, atol=1e-4)


def test_weights_are_read_from_a_file_and_others_are_refused(tmp_path, monkeypatch):
    arrays = random_arrays(LEVELS)
    head = {"classifier.bias": np.zeros(1000, np.float32), "conv_head.weight": np.zeros(3)}
    file = tmp_path / "weights.npz"
    write_npz(file, arrays)
    with pytest.raises(UserError, match=r"not tf_efficientnet_lite0-0aa007d2.pth, its SHA-256"):
        load_efficientnet(str(file))
    monkeypatch.setattr("ddgan_jax.features.efficientnet._HASH", "")
    write_npz(file, {**arrays, **head, "bn1.num_batches_tracked": np.int64(3)})
    params = load_efficientnet(str(file))
    expected = jax.tree.map(lambda x: (x.shape, x.dtype), efficientnet_shapes())
    assert jax.tree.map(lambda x: (x.shape, x.dtype), params) == expected
    arrays.pop("blocks.3.1.bn2.running_mean")
    write_npz(file, arrays)
    with pytest.raises(UserError, match=r"not the weights of timm's tf_efficientnet_lite0: 1 of"):
        load_efficientnet(str(file))
    with pytest.raises(UserError, match=r"no such file; put tf_efficientnet_lite0-0aa007d2.pth"):
        load_efficientnet(str(tmp_path / "missing.pth"))
