"""Layers that are computed in another form agree with their definitions, in value and gradients."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddgan_jax.core.norms import _by_rows, tree_norm
from ddgan_jax.networks import layers, resample, resblock
from ddgan_jax.networks.group_norm import group_norm

SHAPE = (3, 5, 6, 24)
GROUPS = 6


def arrays(count=4):
    keys = jax.random.split(jax.random.key(0), count)
    x = 2 * jax.random.normal(keys[0], SHAPE) + 1
    return x, *(jax.random.normal(key, (SHAPE[0], SHAPE[-1])) for key in keys[1:])


def reference(x, offset, scale, shift, silu):
    norm = nn.GroupNorm(
        GROUPS, epsilon=1e-6, use_bias=False, use_scale=False, use_fast_variance=False
    )
    y = norm.apply({}, x + offset[:, None, None])
    y = y * scale[:, None, None] + shift[:, None, None]
    return nn.silu(y) if silu else y


@pytest.mark.parametrize("silu", [False, True])
def test_group_norm_and_its_gradients(silu):
    def ours(x, offset, scale, shift):
        return group_norm(x, GROUPS, scale=scale, shift=shift, offset=offset, silu=silu)

    weights = jax.random.normal(jax.random.key(9), SHAPE)

    def loss(function):
        return lambda *args: jnp.sum(weights * function(*args))

    def expected(*args):
        return reference(*args, silu)

    given = arrays()
    np.testing.assert_allclose(ours(*given), expected(*given), atol=1e-5)
    found = jax.jit(jax.grad(loss(ours), (0, 1, 2, 3)))(*given)
    wanted = jax.jit(jax.grad(loss(expected), (0, 1, 2, 3)))(*given)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=3e-5)

    def penalty(function):  # as R1 of a network with group norm
        return lambda x: jnp.sum(jax.grad(loss(function))(x, *given[1:]) ** 2)

    second = jax.jit(jax.grad(penalty(ours)))(given[0])
    np.testing.assert_allclose(second, jax.jit(jax.grad(penalty(expected)))(given[0]), atol=3e-5)


def test_group_norm_of_values_far_from_zero():
    """The variance is that of the differences, not of what is left of the squares."""
    x = 1e4 + jax.random.normal(jax.random.key(0), SHAPE)  # exact to 1e-3
    found = group_norm(x, GROUPS)
    zeros, ones = jnp.zeros((3, 24)), jnp.ones((3, 24))
    exact = reference(x - 1e4, zeros, ones, zeros, False)
    np.testing.assert_allclose(found, exact, atol=5e-3)


def test_group_norm_computes_bfloat16_in_float32():
    x, offset, scale, shift = arrays()
    rounded = x.astype(jnp.bfloat16)
    found = group_norm(rounded, GROUPS, scale=scale, shift=shift, offset=offset, silu=True)
    assert found.dtype == jnp.bfloat16
    wanted = reference(rounded.astype(jnp.float32), offset, scale, shift, True)
    np.testing.assert_array_equal(found, wanted.astype(jnp.bfloat16), strict=True)


def test_group_norm_of_a_vector_and_parameters_of_each_channel():
    x = jax.random.normal(jax.random.key(0), (4, 8))
    scale, shift = jnp.arange(8.0), jnp.ones(8)
    norm = nn.GroupNorm(2, epsilon=1e-6)
    wanted = norm.apply({"params": {"scale": scale, "bias": shift}}, x)
    np.testing.assert_allclose(group_norm(x, 2, scale=scale, shift=shift), wanted, atol=1e-5)


def test_resampling_steps_are_transposes_of_each_other():
    """The gradient of each is the other, so inner products agree."""
    rng = np.random.default_rng(0)
    small, large = (rng.standard_normal((2, n, n + 2, 3)).astype(np.float32) for n in (4, 8))
    small = small[:, :, :5]
    for function, x, dy in ((resample.downsample, large, small), (resample.upsample, small, large)):
        y, pullback = jax.vjp(function, x)
        assert y.shape == dy.shape
        np.testing.assert_allclose(np.vdot(y, dy), np.vdot(x, pullback(dy)[0]), rtol=1e-5)


def test_shifted_leaky_relu_and_its_gradients():
    x, offset = arrays(2)

    def plain(x, offset):
        return nn.leaky_relu(x + offset[:, None, None], 0.2)

    weights = jax.random.normal(jax.random.key(9), SHAPE)
    found, wanted = (
        jax.value_and_grad(lambda x, o, f=f: jnp.sum(weights * f(x, o)), (0, 1))(x, offset)
        for f in (resblock._shifted_leaky_relu, plain)
    )
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("equalized", [False, True])
def test_the_gain_of_a_convolution_is_in_its_weights(equalized):
    x = jax.random.normal(jax.random.key(0), (2, 5, 5, 3))
    module = layers.conv(4, 3, equalized=equalized, dtype=jnp.float32)
    variables = module.init(jax.random.key(1), x)
    variables = jax.tree.map(lambda p: p + 0.5, variables)  # the bias starts at 0
    whole = module.apply(variables, x)
    np.testing.assert_allclose(module.apply(variables, x, 0.3), 0.3 * whole, rtol=1e-5, atol=1e-5)
    y, bias = module.apply(variables, x, method="linear")
    np.testing.assert_allclose(y + bias, whole, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kwargs", [{}, dict(strides=2), dict(feature_group_count=3)])
def test_a_convolution_has_the_parameters_and_the_result_of_flax(kwargs):
    x = jax.random.normal(jax.random.key(0), (2, 6, 6, 3))
    ours = layers.conv(6, 3, dtype=jnp.float32, **kwargs)
    theirs = nn.Conv(6, (3, 3), kernel_init=layers.init_scale(1.0), **kwargs)
    variables = ours.init(jax.random.key(1), x)
    jax.tree.map(np.testing.assert_array_equal, variables, theirs.init(jax.random.key(1), x))
    np.testing.assert_array_equal(ours.apply(variables, x), theirs.apply(variables, x))


def test_the_norm_of_a_tree_by_rows():
    tree = {"a": jax.random.normal(jax.random.key(0), (3, 4, 5)), "b": jnp.arange(7.0)}
    flat = np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])
    np.testing.assert_allclose(_by_rows(tree), np.linalg.norm(flat), rtol=1e-6)
    np.testing.assert_allclose(tree_norm(tree), np.linalg.norm(flat), rtol=1e-6)


@pytest.mark.parametrize("equalized", [False, True])
@pytest.mark.slow
def test_attention_with_products_of_weights_is_attention(equalized):
    """Two products with all positions give what the four projections give, with all biases."""
    attention = layers.Attention(groups=2, equalized=equalized)
    x = jax.random.normal(jax.random.key(0), (2, 3, 5, 8))
    shapes = jax.eval_shape(attention.init, jax.random.key(1), x)["params"]
    leaves, tree = jax.tree.flatten(shapes)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    params = tree.unflatten(
        [jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    )
    gain = 8**-0.5 if equalized else 1.0

    def expected(params, x):
        norm = nn.GroupNorm(2, epsilon=1e-6, use_fast_variance=False)
        h = norm.apply({"params": params["norm"]["norm"]}, x).reshape(2, 15, 8)

        def project(name, h):
            return gain * h @ params[name]["kernel"] + params[name]["bias"]

        q, k, v = (project(name, h) for name in "qkv")
        h = nn.softmax(q @ k.swapaxes(1, 2) * 8**-0.5) @ v
        return (x + project("out", h).reshape(x.shape)) * 0.5**0.5

    def ours(params, x):
        return attention.apply({"params": params}, x)

    np.testing.assert_allclose(ours(params, x), expected(params, x), rtol=1e-4, atol=1e-4)
    weights = jax.random.normal(jax.random.key(3), x.shape)

    def gradients(function):
        return jax.grad(lambda *args: jnp.sum(weights * function(*args)), (0, 1))(params, x)

    found, wanted = gradients(ours), gradients(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * max(1, float(jnp.abs(b).max())))
    # The bias of the keys changes all logits of a row by the same number.
    np.testing.assert_array_equal(found[0]["k"]["bias"], 0)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_resampling_for_tpus_is_the_same(dtype):
    """As convolutions of each channel and as sums of shifted arrays; float32 to rounding."""
    x = jax.random.normal(jax.random.key(0), (2, 6, 8, 3)).astype(dtype)
    tolerance = 1e-6 if dtype == jnp.float32 else 2e-2
    for convolution, total in (
        (resample._downsample_as_convolution, resample._downsample_as_sum),
        (resample._upsample_as_convolution, resample._upsample_as_sum),
    ):
        found, wanted = convolution(x), total(x)
        assert found.dtype == dtype and found.shape == wanted.shape
        found, wanted = (np.asarray(y, np.float32) for y in (found, wanted))
        np.testing.assert_allclose(found, wanted, atol=tolerance, rtol=tolerance)


def test_resampling_by_size_and_platform():
    """TPUs get convolutions for small images; other platforms, and large images, get sums."""
    for size, convolutions in ((32, 1), (64, 0)):
        x = jax.ShapeDtypeStruct((1, size, size, 4), jnp.float32)
        for platform, wanted in (("tpu", convolutions), ("cpu", 0), ("cuda", 0)):
            traced = jax.jit(resample.downsample).trace(x)
            text = traced.lower(lowering_platforms=(platform,)).as_text()
            assert text.count("stablehlo.convolution") == wanted, (size, platform)
