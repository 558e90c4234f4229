"""The train step with losses whose gradients are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddgan_jax.core.optimizers import cosine_per_epoch
from ddgan_jax.core.train_step import create_state, train_step, which_regularize
from ddgan_jax.core.types import Aux, Method, Phase


def quadratic_method() -> Method:
    def loss(params, context):
        return jnp.mean((params["a"] - context.batch["image"]) ** 2), Aux({"seen": params["b"]})

    def regularizer(params, context):
        del context
        return 10 * params["a"] ** 2, Aux({"extra": params["a"]})

    return Method(
        init=lambda key: {"a": jnp.zeros(()), "b": jnp.ones(())},
        phases=(Phase("a", loss, regularizer, 2),),
        sample=lambda params, keys, frozen: params["a"],
        ema_roles=("a",),
        nfe=1,
    )


class Descent:
    """Gradient descent with rate 1, so that the update is the gradient."""

    init = staticmethod(lambda params: ())
    update = staticmethod(lambda g, s, p: (jax.tree.map(jnp.negative, g), s))


def quadratic_step(regularize, accumulate):
    method = quadratic_method()
    optimizers = {"a": Descent()}
    state = create_state(jax.random.key(0), method, optimizers)
    image = jnp.arange(8.0) + 1
    state, metrics = train_step(
        state,
        {"image": image, "label": image},
        (),
        method=method,
        optimizers=optimizers,
        ema_decay=0.5,
        regularize=(regularize,),
        accumulate=accumulate,
    )
    return state, metrics


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_accumulated_gradient_is_that_of_the_whole_batch(accumulate):
    state, metrics = quadratic_step(False, accumulate)
    np.testing.assert_allclose(state.params["a"], 2 * 4.5)  # minus d/da mean (a - x)^2 at 0
    np.testing.assert_allclose(metrics["a/loss"], np.mean((np.arange(8) + 1.0) ** 2))
    np.testing.assert_allclose(state.ema["a"], 4.5)
    assert set(metrics) == {"a/loss", "a/grad_norm", "a/weight_norm", "a/seen"}


def test_regulariser_is_added_when_its_turn_comes():
    method = quadratic_method()
    assert [which_regularize(method, s)[0] for s in range(4)] == [True, False, True, False]
    _, metrics = quadratic_step(True, 1)
    assert "a/extra" in metrics


def test_learning_rate_is_a_cosine_in_steps_of_epochs():
    schedule = cosine_per_epoch(1.0, 0.1, total_steps=100, steps_per_epoch=10)
    rates = np.array([float(schedule(jnp.int32(s))) for s in range(110)])
    for epoch in range(10):
        expected = 0.1 + 0.9 * (1 + np.cos(np.pi * epoch / 10)) / 2
        np.testing.assert_allclose(rates[epoch * 10 : epoch * 10 + 10], expected, rtol=1e-6)
    np.testing.assert_allclose(rates[100:], 0.1, rtol=1e-6)
    constant = cosine_per_epoch(0.5, 0.5, 100, 10)
    assert {float(constant(jnp.int32(s))) for s in (0, 50, 100)} == {0.5}
