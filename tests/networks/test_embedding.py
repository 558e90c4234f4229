"""Dense layers of an embedding as one product: the same numbers, parameters and gradients."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddgan_jax.networks import ddpm_unet, embedding, ncsnpp, wavelet_ncsnpp
from ddgan_jax.networks.layers import dense

SIZES = dict(channels=1, width=4, multipliers=(1, 1), blocks=1, attention=())
NETWORKS = {
    "ncsnpp": ncsnpp.NCSNpp(**SIZES, z_width=6, z_layers=1),
    "ncsnpp, remat, equalized": ncsnpp.NCSNpp(
        **SIZES, z_width=6, z_layers=1, remat=True, equalized=True
    ),
    "wavelet": wavelet_ncsnpp.WaveletNCSNpp(**SIZES, z_width=6, z_layers=1),
    "wavelet, remat": wavelet_ncsnpp.WaveletNCSNpp(**SIZES, z_width=6, z_layers=1, remat=True),
    "ddpm": ddpm_unet.DDPMUNet(**SIZES, groups=4),
}


class Layers(nn.Module):
    """Layers of one embedding at two depths; `together` says whether as one product."""

    together: bool
    equalized: bool = False

    @nn.compact
    def __call__(self, e):
        kwargs = dict(equalized=self.equalized, dtype=e.dtype)
        alone = embedding.Embedding(e, {})
        emb = embedding.project(self, e, "style", self.equalized) if self.together else alone
        first = emb.through(dense(3, name="style", **kwargs))
        return first, Inner(name="inner")(emb, kwargs)


class Inner(nn.Module):
    @nn.compact
    def __call__(self, emb, kwargs):
        return emb.through(dense(4, name="style", **kwargs)) + dense(4, name="other", **kwargs)(
            emb.value
        )


def products(function, *args):
    """How many matrix products a function has."""
    return str(jax.make_jaxpr(function)(*args)).count("dot_general[")


@pytest.mark.parametrize("equalized", [False, True])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_one_product_is_what_the_layers_compute(equalized, dtype):
    e = jax.random.normal(jax.random.key(0), (5, 7), dtype)
    params = Layers(True, equalized).init(jax.random.key(1), e)
    params = jax.tree.map(lambda p: p + 0.3, params)  # biases too
    one, many = (Layers(together, equalized) for together in (True, False))
    bound = 1e-6 if dtype == jnp.float32 else 1e-2
    for a, b in zip(one.apply(params, e), many.apply(params, e), strict=True):
        assert a.dtype == b.dtype == dtype
        np.testing.assert_allclose(a.astype("f"), b.astype("f"), rtol=bound, atol=bound)
    assert (products(one.apply, params, e), products(many.apply, params, e)) == (2, 3)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[] if n == "ncsnpp" else pytest.mark.slow) for n in NETWORKS],
)
def test_networks_compute_the_same_with_one_product(name, monkeypatch):
    network = NETWORKS[name]
    keys = jax.random.split(jax.random.key(0), 4)
    x, t = jax.random.normal(keys[0], (2, 8, 8, 1)), jnp.array([0, 2])
    z = jax.random.normal(keys[1], (2, 5))
    params = jax.jit(network.init)(keys[2], x, t, z)
    params = jax.tree.map(lambda p: p + 0.1 * jax.random.normal(keys[3], p.shape), params)

    def gradient():
        def loss(params):
            return jnp.sum(jnp.square(network.apply(params, x, t, z)))

        return jax.jit(jax.value_and_grad(loss))(params), products(loss, params)

    together, count = gradient()
    monkeypatch.setattr(embedding, "_layers", lambda *_: {})
    alone, more = gradient()
    largest = max(float(jnp.abs(g).max()) for g in jax.tree.leaves(alone))
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6 * largest)
    assert count < more - 3
