"""Adversarial losses and gradient penalties, by their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_methods as tiny

from ddgan_jax.core import losses
from ddgan_jax.core.losses import ADVERSARIAL_LOSSES
from ddgan_jax.core.types import Context

REAL, FAKE = jnp.array([2.0, -1.0, 0.5]), jnp.array([-3.0, 0.5, 1.5])


def softplus(x):
    return np.logaddexp(0, np.asarray(x, np.float64))


EXPECTED = {
    "nonsaturating": (softplus(-REAL).mean() + softplus(FAKE).mean(), softplus(-FAKE).mean()),
    "saturating": (softplus(-REAL).mean() + softplus(FAKE).mean(), -softplus(FAKE).mean()),
    "hinge": (
        np.maximum(1 - REAL, 0).mean() + np.maximum(1 + FAKE, 0).mean(),
        -np.asarray(FAKE).mean(),
    ),
    "relativistic": (softplus(-(REAL - FAKE)).mean(), softplus(-(FAKE - REAL)).mean()),
}


def test_there_is_an_expectation_for_every_loss():
    assert EXPECTED.keys() == ADVERSARIAL_LOSSES.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_values(name):
    loss, (disc, gen) = ADVERSARIAL_LOSSES[name], EXPECTED[name]
    np.testing.assert_allclose(loss.disc(REAL, FAKE), disc, rtol=1e-6)
    real = REAL if loss.gen_sees_real else None
    np.testing.assert_allclose(loss.gen(real, FAKE), gen, rtol=1e-6)


@pytest.mark.parametrize("name", EXPECTED)
def test_descent_directions(name):
    """The discriminator raises D(real) and lowers D(fake); the generator raises D(fake)."""
    loss = ADVERSARIAL_LOSSES[name]
    d_real, d_fake = jax.grad(loss.disc, (0, 1))(0 * REAL, 0 * FAKE)
    assert (d_real < 0).all() and (d_fake > 0).all()
    real = 0 * REAL if loss.gen_sees_real else None
    assert (jax.grad(loss.gen, 1)(real, 0 * FAKE) < 0).all()


def test_relativistic_losses_depend_on_differences_only():
    loss = ADVERSARIAL_LOSSES["relativistic"]
    for function in (loss.disc, loss.gen):
        np.testing.assert_allclose(function(REAL + 5, FAKE + 5), function(REAL, FAKE), rtol=1e-5)
    np.testing.assert_allclose(loss.gen(REAL, FAKE), loss.disc(FAKE, REAL), rtol=1e-6)


def config_with(make_config, name, r1, r2):
    config = make_config()
    config.adversarial.loss, config.r1.gamma, config.r2.gamma = name, r1, r2
    return config


def penalties(make_config, r1, r2):
    """Value and metrics of the discriminator's regularizer of a tiny method."""
    case = tiny.Case(lambda: config_with(make_config, "relativistic", r1, r2), (2,))
    state = case.start
    context = Context(case.batch(0), jax.random.key(3), state.step, state.carry, ())
    value, aux = jax.jit(case.method.phases[0].regularizer)(state.params, context)
    return float(value), {name: float(metric) for name, metric in aux.metrics.items()}


@pytest.mark.parametrize("make_config", [tiny.mlp_config, tiny.gan_config, tiny.difgan_config])
def test_penalties_at_real_and_fake_data_add_up(make_config):
    """Each has its own gamma and its own metric; gamma / 2 times the penalty is added."""
    value, found = penalties(make_config, 0.5, 3.0)
    np.testing.assert_allclose(value, 0.25 * found["r1"] + 1.5 * found["r2"], rtol=1e-5)
    assert found["r1"] > 0 and found["r2"] > 0 and found["r1"] != found["r2"]
    value, only = penalties(make_config, 0.0, 3.0)
    assert only.keys() == {"r2"}
    np.testing.assert_allclose(only["r2"], found["r2"], rtol=1e-5)
    np.testing.assert_allclose(value, 1.5 * only["r2"], rtol=1e-6)
    case = tiny.Case(lambda: config_with(make_config, "hinge", 0.0, 0.0), (2,))
    assert case.method.phases[0].regularizer is None


@pytest.mark.slow
@pytest.mark.parametrize("make_config", [tiny.mlp_config, tiny.gan_config])
def test_every_loss_trains_both_players(make_config):
    seen = set()
    for name in ADVERSARIAL_LOSSES:
        case = tiny.Case(lambda name=name: config_with(make_config, name, 0.0, 0.0), (2,))
        _, metrics = case.step(case.start)
        assert all(np.isfinite(value) for value in metrics.values())
        assert metrics["gen/grad_norm"] > 0 and metrics["disc/grad_norm"] > 0
        seen.add((round(float(metrics["disc/loss"]), 5), round(float(metrics["gen/loss"]), 5)))
    assert len(seen) == len(ADVERSARIAL_LOSSES)


def test_gradient_penalty_of_a_linear_map():
    weights = jnp.array([3.0, 4.0])
    x = jnp.ones((5, 2))
    np.testing.assert_allclose(losses.gradient_penalty(lambda y: y @ weights, x), 25.0)
