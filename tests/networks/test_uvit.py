"""U-ViT against the published network, and the latent that steers its norms."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from ddgan_jax.core.errors import UserError
from ddgan_jax.interop.names import to_arrays
from ddgan_jax.interop.uvit import backbone_entries, with_backbone
from ddgan_jax.networks import GENERATORS
from ddgan_jax.networks.uvit import UViT, time_token

REFERENCE = Path(os.environ.get("DDGAN_REFERENCE", "")) / "reference" / "uvit_small.npz"
needs_reference = pytest.mark.skipif(not REFERENCE.is_file(), reason="no reference numbers")

SMALL = dict(channels=4, width=32, blocks=2, heads=4, patch=2, z_width=8, z_layers=1)
SMALLER = SMALL | dict(width=16, blocks=1, z_layers=0)


def test_time_token_is_cosines_then_sines():
    token = np.asarray(time_token(jnp.array([0, 3]), 4))
    np.testing.assert_allclose(token[0], [1, 1, 0, 0], atol=1e-7)
    np.testing.assert_allclose(token[1], [np.cos(3), np.cos(0.03), np.sin(3), np.sin(0.03)], 1e-5)


def published():
    with np.load(REFERENCE) as file:
        return {name: file[name] for name in file.files if name != "meta"}


def part_of(file, prefix):
    return {k.removeprefix(prefix): v for k, v in file.items() if k.startswith(prefix)}


@needs_reference
@pytest.mark.parametrize(
    "dtype, tolerance", [(jnp.float64, 1e-6), (jnp.float32, 1e-4)], ids=["float64", "float32"]
)
@pytest.mark.slow
def test_output_and_gradients_are_those_of_the_published_network(dtype, tolerance):
    file = published()
    t, z = file["io/t"].astype(np.int32), np.ones((3, 5), np.float32)
    init = jax.jit(UViT(**SMALL, tanh=False).init)
    params = init(jax.random.key(0), file["io/x"].astype(np.float32), t, z)["params"]
    params = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), params)
    params = with_backbone(params, part_of(file, "P/"))
    x, r, z = (np.asarray(array, dtype) for array in (file["io/x"], file["io/r"], z))
    # Flax's layer norm joins its dtype with float32, which strict promotion refuses for float64.
    with jax.enable_x64(dtype == jnp.float64), jax.numpy_dtype_promotion("standard"):
        module = UViT(**SMALL, tanh=False, dtype=dtype)

        @jax.jit
        def loss_and_output(params):
            y = module.apply({"params": params}, x, t, z)
            return jnp.mean(y * r), y

        (loss, y), grads = jax.value_and_grad(loss_and_output, has_aux=True)(params)
        loss, y, grads = jax.device_get((loss, y, grads))
    close = dict(rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(y, file["io/y"], **close)
    np.testing.assert_allclose(loss, file["io/loss"], **close)
    flat = traverse_util.flatten_dict(grads)
    steered = {k for k in flat if any(part.startswith(("latent_", "style")) for part in k)}
    backbone = traverse_util.unflatten_dict({k: v for k, v in flat.items() if k not in steered})
    found, expected = to_arrays(backbone, backbone_entries(backbone)), part_of(file, "grad/")
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        bound = tolerance * np.abs(gradient).max()
        np.testing.assert_allclose(found[name], gradient, rtol=0, atol=bound, err_msg=name)
    # The styles learn from the first step on.
    assert all(jnp.abs(flat[k]).max() > 0 for k in steered if k[-2] == "style")


@needs_reference
def test_weights_of_another_size_are_refused():
    arrays = part_of(published(), "P/")
    x, t, z = jnp.zeros((1, 8, 8, 4)), jnp.zeros(1, jnp.int32), jnp.zeros((1, 5))
    module = UViT(**SMALL | dict(patch=4))
    params = jax.eval_shape(module.init, jax.random.key(0), x, t, z)["params"]
    with pytest.raises(UserError, match=r"'pos_embed'.*another architecture"):
        with_backbone(params, arrays)


def test_z_does_nothing_at_first_and_steers_every_block_once_styles_have_moved():
    module = UViT(**SMALLER)
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 4))
    t, z = jnp.array([0, 3]), jax.random.normal(jax.random.key(2), (2, 5))
    params = jax.jit(module.init)(jax.random.key(0), x, t, z)["params"]
    apply = jax.jit(lambda params, x, t, z: module.apply({"params": params}, x, t, z))
    first = apply(params, x, t, z)
    assert first.dtype == jnp.float32 and first.shape == x.shape
    np.testing.assert_array_equal(apply(params, x, t, -z), first)
    assert jnp.abs(apply(params, x, t + 1, z) - first).max() > 1e-4
    flat = traverse_util.flatten_dict(params)
    styles = [k for k in flat if k[-2:] == ("style", "kernel")]
    assert len(styles) == 2 * (2 * SMALLER["blocks"] + 1)
    for path in styles:
        moved = traverse_util.unflatten_dict(flat | {path: jnp.full_like(flat[path], 0.5)})
        assert jnp.abs(apply(moved, x, t, z) - apply(moved, x, t, -z)).max() > 1e-5, path


def test_remat_and_bfloat16_change_memory_not_numbers():
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 4))
    t, z = jnp.array([0, 3]), jnp.ones((2, 5))
    params = jax.jit(UViT(**SMALLER).init)(jax.random.key(0), x, t, z)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    full = jax.jit(UViT(**SMALLER).apply)(params, x, t, z)
    remat = jax.jit(UViT(**SMALLER, remat=True).apply)(params, x, t, z)
    np.testing.assert_allclose(remat, full, rtol=1e-6, atol=1e-6)
    half = jax.jit(UViT(**SMALLER, dtype=jnp.bfloat16).apply)(params, x, t, z)
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, full, atol=0.05)


def test_sizes_that_do_not_fit_are_named():
    entry = GENERATORS["uvit"]
    assert entry.fits(UViT(**SMALLER), (8, 8, 4)) == ""
    assert "patches of 2x2" in entry.fits(UViT(**SMALLER), (9, 8, 4))
    assert "takes images" in entry.fits(UViT(**SMALLER), (8,))
    assert entry.consistent(UViT(**SMALLER)) == ""
    assert "heads" in entry.consistent(UViT(**SMALLER | dict(heads=5)))
