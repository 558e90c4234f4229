"""A generator and a discriminator whose chains, losses and gradients are known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np

from ddgan_jax.core.types import Context
from ddgan_jax.methods.entry import Penalties

SHAPE = (2, 2, 1)
BATCH = 6
R1 = Penalties(r1_gamma=0.2, every=1)
MLP = dict(
    gen=dict(network="mlp", width=8, blocks=1, t_width=4, octaves=0, tanh=True),
    disc=dict(network="mlp", width=8, blocks=1, t_width=4, octaves=0, group=4),
    lr_gen=1e-3,
    lr_disc=1e-3,
    r1_gamma=0.0,
    r1_every=1,
)


class Affine:
    """G(x, t, z) = a x + t + 1 + mean z and D(x, t) = b sum x - t/100, with Flax's interface."""

    def init(self, key, *inputs):
        del key, inputs
        return {"params": {"a": jnp.float32(0.5), "b": jnp.float32(0.3)}}

    def apply(self, variables, x, t, other, train=False, rngs=None):
        del train, rngs
        w = variables["params"]
        if other.ndim == 2:
            shift = t.astype(jnp.float32) + 1 + jnp.mean(other, axis=1)
            return w["a"] * x + shift.reshape((-1,) + (1,) * (x.ndim - 1))
        assert other.shape == (*x.shape[:-1], 0)  # D is shown one image
        return w["b"] * jnp.sum(x, axis=(1, 2, 3)) - t.astype(jnp.float32) / 100


def softplus(x):
    return np.logaddexp(0, np.asarray(x, np.float64))


def start(method):
    """Parameters and a context with a batch of images."""
    image = np.random.default_rng(0).integers(0, 256, (BATCH, *SHAPE), np.uint8)
    batch = {"image": jnp.asarray(image), "label": jnp.zeros(BATCH, jnp.int32)}
    carry = method.carry_init(jax.random.key(1))
    context = Context(batch, jax.random.key(2), jnp.int32(0), carry, ())
    return method.init(jax.random.key(0)), context


def as_floats(context):
    return np.asarray(context.batch["image"], np.float64) / 127.5 - 1
