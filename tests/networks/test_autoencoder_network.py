"""The autoencoder's network: published numbers, counts, quantization, sizes."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddgan_jax.interop.autoencoder import autoencoder_entries
from ddgan_jax.interop.names import to_arrays, to_params
from ddgan_jax.networks.autoencoder import Autoencoder, norm_groups

TINY = dict(width=4, multipliers=(1, 2), blocks=1, attention=(), latent_channels=2)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def shapes(module, size):
    image = jnp.zeros((1, size, size, module.channels))
    return jax.eval_shape(module.init, jax.random.key(0), image)["params"]


def test_parameter_counts_are_those_of_the_paper():
    """14,646,759, of which 8,631,555 in the decoder; they include the unused log-variance."""
    sizes = dict(width=128, multipliers=(1, 2), blocks=2, attention=(16,), latent_channels=4)
    module = Autoencoder(channels=3, gaussian=True, **sizes)
    params = shapes(module, 32)
    assert count(params) == 14_646_759
    assert count(params["decoder"]) == 8_631_555
    latent, _ = jax.eval_shape(
        lambda p: module.apply({"params": p}, jnp.zeros((1, 32, 32, 3)), method="encode"), params
    )
    assert latent.shape == (1, 16, 16, 4)


def close(found, golden):
    """Within 1e-4 of the largest value, and in every value of ordinary size."""
    np.testing.assert_allclose(found, golden, rtol=1e-4, atol=1e-4 * np.abs(golden).max())


def test_numbers_of_the_published_implementation(reference):
    with np.load(reference("reference/autoencoder_vq.npz")) as file:
        golden = dict(file)
    meta = json.loads(str(golden["meta"]))
    arrays = {k.removeprefix("AE/"): v for k, v in golden.items() if k.startswith("AE/")}
    dd = meta["ddconfig"]
    module = Autoencoder(
        channels=dd["out_ch"],
        width=dd["ch"],
        multipliers=tuple(dd["ch_mult"]),
        blocks=dd["num_res_blocks"],
        attention=tuple(dd["attn_resolutions"]),
        latent_channels=meta["embed_dim"],
        gaussian=dd["double_z"],
        codes=meta["n_embed"],
        tanh=dd["tanh_out"],
    )
    abstract = shapes(module, dd["resolution"])
    entries = autoencoder_entries(abstract)
    params = to_params(arrays, entries, abstract)
    back = to_arrays(params, entries)
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array, err_msg=name)

    def call(method, x):
        return jax.jit(lambda p, x: module.apply({"params": p}, x, method=method))(params, x)

    latent, log_variance = call("encode", golden["io/image"])
    assert log_variance is None
    close(latent, golden["io/latent"])
    quantized, index = call("quantize", golden["io/latent"])
    np.testing.assert_array_equal(index, golden["io/code"])
    close(quantized, golden["io/quantized"])
    close(call("rebuild", params["codebook"][golden["io/code"]]), golden["io/reconstruction"])
    close(call("decode", golden["io/latent"]), golden["io/reconstruction"])


@pytest.mark.slow
def test_the_nearest_code_is_found():
    module = Autoencoder(channels=1, gaussian=False, codes=5, **TINY)
    params = module.init(jax.random.key(0), jnp.zeros((1, 4, 4, 1)))["params"]
    params["codebook"] = jax.random.normal(jax.random.key(1), (5, 2))
    z = jax.random.normal(jax.random.key(2), (3, 2, 2, 2))
    nearest, index = module.apply({"params": params}, z, method="quantize")
    z, codes = np.asarray(z), np.asarray(params["codebook"])
    distances = np.linalg.norm(z[..., None, :] - codes, axis=-1)
    np.testing.assert_array_equal(index, distances.argmin(axis=-1))
    np.testing.assert_array_equal(nearest, codes[distances.argmin(axis=-1)])


@pytest.mark.parametrize(("levels", "factor"), [(1, 1), (2, 2), (4, 8)])
def test_every_level_after_the_first_halves(levels, factor):
    module = Autoencoder(channels=1, gaussian=True, **{**TINY, "multipliers": (1,) * levels})
    image = jnp.zeros((1, 16, 16, 1))
    (mean, log_variance), out = jax.eval_shape(
        lambda p: (
            module.apply({"params": p}, image, method="encode"),
            module.apply({"params": p}, image),
        ),
        shapes(module, 16),
    )
    assert mean.shape == log_variance.shape == (1, 16 // factor, 16 // factor, 2)
    assert out.shape == image.shape


@pytest.mark.slow
def test_output_and_log_variance_stay_in_their_ranges():
    module = Autoencoder(channels=1, gaussian=True, tanh=True, **TINY)
    params = module.init(jax.random.key(0), jnp.zeros((1, 4, 4, 1)))["params"]
    params = jax.tree.map(lambda x: 100 * x, params)
    image = jax.random.normal(jax.random.key(1), (2, 4, 4, 1))
    _, log_variance = module.apply({"params": params}, image, method="encode")
    assert log_variance.min() == -30 and log_variance.max() == 20
    assert np.abs(module.apply({"params": params}, image)).max() <= 1


def test_groups_of_the_norms():
    assert [norm_groups(c) for c in (4, 16, 32, 48, 128)] == [1, 4, 32, 12, 32]
