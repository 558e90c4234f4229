"""DifGAN with networks whose results are known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from affine_players import BATCH, MLP, R1, SHAPE, Affine, as_floats, softplus, start

from ddgan_jax.core.losses import ADVERSARIAL_LOSSES
from ddgan_jax.core.random import sample_keys
from ddgan_jax.methods.difgan import make_difgan, normalized
from ddgan_jax.presets import difgan
from ddgan_jax.spaces.pixels import pixels

WEIGHTS = (0.5, 0.3, 0.2)
DIFGAN = dict(
    generator=Affine(),
    discriminator=Affine(),
    space=pixels(SHAPE),
    weights_disc=WEIGHTS,
    weights_gen=WEIGHTS[::-1],
    penalties=R1,
)


def test_difgan_weights():
    eta = np.asarray(difgan(num_steps=4, **MLP).difgan.weights_gen)
    np.testing.assert_allclose(eta, [0.4, 0.3, 0.2, 0.1])  # most on x_0, the sample
    for weights in ((4, 3, 2, 1), (0.1, 0.0), (7,)):
        np.testing.assert_allclose(normalized(weights).sum(), 1, rtol=1e-6)
    np.testing.assert_allclose(normalized((4, 3, 2, 1)), eta, rtol=1e-6)


def affine_chain(x_T, a=0.5):
    """x_2, x_1, x_0 of the affine generator, which adds (t + 1) + 1."""
    chain = [x_T]
    for t in (2, 1, 0):
        chain.append(a * chain[-1] + t + 2)
    return chain


def test_difgan_shows_its_intermediate_images():
    method = make_difgan(**DIFGAN)
    params, _ = start(method)
    keys = sample_keys(jax.random.key(0), 0, 5)
    chain = method.trajectory(params, keys, ())
    assert chain.shape == (4, 5, *SHAPE) and method.nfe == 3
    np.testing.assert_allclose(chain, affine_chain(np.asarray(chain[0])), rtol=1e-5)
    np.testing.assert_allclose(method.sample(params, keys, ()), chain[-1], rtol=1e-6)


def chain_of_training(context):
    noise = jax.random.normal(jax.random.split(context.key)[0], (BATCH, *SHAPE))
    return affine_chain(np.asarray(noise, np.float64))[:0:-1]  # x_0, x_1, x_2


def value(x, b=0.3):
    return b * np.asarray(x).sum(axis=(1, 2, 3))


@pytest.mark.parametrize("saturating", [False, True])
def test_difgan_losses_are_the_weighted_sums(saturating):
    name = "saturating" if saturating else "nonsaturating"
    method = make_difgan(**DIFGAN, loss=ADVERSARIAL_LOSSES[name])
    params, context = start(method)
    chain, d_real = chain_of_training(context), value(as_floats(context))
    disc, gen = method.phases
    expected = sum(
        eta * (softplus(-d_real).mean() + softplus(value(x)).mean())
        for eta, x in zip(WEIGHTS, chain, strict=True)
    )
    np.testing.assert_allclose(disc.loss(params, context)[0], expected, rtol=1e-5)
    expected = sum(
        eta * (-softplus(value(x)) if saturating else softplus(-value(x))).mean()
        for eta, x in zip(WEIGHTS[::-1], chain, strict=True)
    )
    np.testing.assert_allclose(gen.loss(params, context)[0], expected, rtol=1e-5)
    np.testing.assert_allclose(disc.regularizer(params, context)[1].metrics["r1"], 0.36, rtol=1e-5)


def test_difgan_gradient_flows_back_through_the_chain():
    method = make_difgan(**DIFGAN)
    params, context = start(method)
    noise = jax.random.normal(jax.random.split(context.key)[0], (BATCH, *SHAPE))

    def of_method(a):
        return method.phases[1].loss({**params, "gen": {**params["gen"], "a": a}}, context)[0]

    def by_hand(a, stop=lambda x: x):
        total, x = jnp.float32(0), noise
        for t in (2, 1, 0):
            x = a * stop(x) + (t + 2)
            eta = WEIGHTS[::-1][t]
            total += eta * jnp.mean(jax.nn.softplus(-0.3 * jnp.sum(x, axis=(1, 2, 3))))
        return total

    found = jax.grad(of_method)(jnp.float32(0.5))
    np.testing.assert_allclose(found, jax.grad(by_hand)(jnp.float32(0.5)), rtol=1e-4)
    per_step = jax.grad(lambda a: by_hand(a, jax.lax.stop_gradient))(jnp.float32(0.5))
    assert abs(float(found - per_step)) > 0.01 * abs(float(found))
