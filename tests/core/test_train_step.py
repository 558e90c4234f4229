"""The train step with losses whose gradients are known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from ddgan_jax.core.averages import ema_decay, half_life_decay
from ddgan_jax.core.optimizers import cosine_per_epoch, make_optimizers, step_of_update
from ddgan_jax.core.train_step import create_state, train_step, which_regularize
from ddgan_jax.core.types import Aux, Carry, Method, Phase


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


def quadratic_step(regularize, accumulate, own_step=False, ema_decay=0.5):
    method = quadratic_method()
    method = method._replace(phases=(method.phases[0]._replace(own_step=own_step),))
    optimizers = {"a": Descent()}
    state = create_state(jax.random.key(0), method, optimizers)
    image = jnp.arange(8.0) + 1
    state, metrics = train_step(
        state,
        {"image": image, "label": image},
        (),
        method=method,
        optimizers=optimizers,
        ema_decay=ema_decay,
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


@pytest.mark.parametrize(("platform", "count"), [("cpu", 0), ("cuda", 1), ("tpu", 1)])
def test_gradients_have_the_memory_order_of_the_parameters_on_accelerators(platform, count):
    step = jax.jit(lambda: quadratic_step(False, 1)[1])
    lowered = step.trace().lower(lowering_platforms=(platform,)).as_text()
    assert lowered.count("LayoutConstraint") == count


def test_regulariser_is_added_when_its_turn_comes():
    method = quadratic_method()
    assert [which_regularize(method, s)[0] for s in range(4)] == [True, False, True, False]
    _, metrics = quadratic_step(True, 1)
    assert "a/extra" in metrics


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_regularizer_may_take_a_step_of_its_own(accumulate):
    """From 0 to 9, minus d/da mean (a - x)^2, and from there by -20 a, minus d/da 10 a^2."""
    state, metrics = quadratic_step(True, accumulate, own_step=True)
    np.testing.assert_allclose(state.params["a"], 9 - 20 * 9)
    np.testing.assert_allclose(metrics["a/extra"], 9)
    np.testing.assert_allclose(metrics["a/grad_norm"], 9)  # that of the loss
    np.testing.assert_allclose(metrics["a/weight_norm"], 171)
    added, _ = quadratic_step(True, accumulate)
    np.testing.assert_allclose(added.params["a"], 9)


def test_outputs_of_loss_and_regularizer_are_joined():
    def loss(params, context):
        return params["a"] ** 2, Aux({}, {"one": context.batch["image"]})

    def regularizer(params, context):
        return params["a"] ** 2, Aux({}, {"two": -context.batch["image"]})

    def carry_update(carry, outputs, context):
        del context
        return carry._replace(shared=outputs["a"]["one"] + 2 * outputs["a"]["two"])

    for own_step in (False, True):
        method = quadratic_method()._replace(
            phases=(Phase("a", loss, regularizer, 1, own_step),),
            carry_init=lambda key: Carry((), jnp.zeros(2)),
            carry_update=carry_update,
        )
        optimizers = {"a": Descent()}
        state, _ = train_step(
            create_state(jax.random.key(0), method, optimizers),
            {"image": jnp.array([1.0, 2.0]), "label": jnp.zeros(2, jnp.int32)},
            (),
            method=method,
            optimizers=optimizers,
            ema_decay=0.5,
            regularize=(True,),
        )
        np.testing.assert_allclose(state.carry.shared, [-1, -2])


def test_averages_by_half_life():
    """After `half_life` images the old weights count half; the ramp starts with no average."""
    decay = half_life_decay(1000.0, 0.0, 100)
    np.testing.assert_allclose(float(decay(jnp.int32(7))) ** 10, 0.5, rtol=1e-5)
    ramped = half_life_decay(1000.0, 0.05, 100)
    assert float(ramped(jnp.int32(0))) == 0.0
    # 4,000 images seen, of which 5 %: a half-life of 200 images, two batches.
    np.testing.assert_allclose(float(ramped(jnp.int32(40))), 0.5**0.5, rtol=1e-5)
    np.testing.assert_allclose(float(ramped(jnp.int32(10**6))), 0.5**0.1, rtol=1e-5)
    state, _ = quadratic_step(False, 1, ema_decay=ramped)
    np.testing.assert_allclose(state.ema["a"], state.params["a"])
    config = dict(ema_decay=0.9, ema_half_life=0.0, ema_rampup=0.05, train=dict(batch_size=100))
    config["ema_warmup"] = False
    assert ema_decay(config) == 0.9
    chosen = ema_decay(config | dict(ema_half_life=1000.0))
    assert float(chosen(jnp.int32(40))) == float(ramped(jnp.int32(40)))


def test_warmed_up_averages_forget_the_initial_weights():
    """After 600 steps with decay 0.999, 55 % of the first weights without warm-up, none with it."""
    config = dict(ema_decay=0.999, ema_half_life=0.0, train=dict(batch_size=100))
    decay = ema_decay(config | dict(ema_warmup=True))
    assert 0.999**600 > 0.54
    decays = np.array([float(decay(jnp.int32(k))) for k in range(600)])
    assert decays.prod() < 1e-15
    # The share of step i in the average of 600 steps: old steps are forgotten like (i / 600)^9.
    shares = (1 - decays) * np.append(decays[::-1].cumprod()[::-1][1:], 1.0)
    np.testing.assert_allclose(shares.sum(), 1.0, rtol=1e-5)
    age = 599 - (shares * np.arange(600)).sum()
    assert 50 < age < 70  # a tenth of the steps
    assert float(decay(jnp.int32(10**5))) == np.float32(0.999)
    state, _ = quadratic_step(False, 1, ema_decay=decay)
    np.testing.assert_allclose(state.ema["a"], 0.9 * state.params["a"], rtol=1e-6)


def test_adam_is_rescaled_for_lazy_regularization():
    """k = 3: rate 3/4, betas to the power of 3/4 (Karras et al. 2020, appendix B)."""
    c = dict(beta1=0.5, beta2=0.9, eps=1e-8, lazy_interval=3)
    settings = {"a": ConfigDict(dict(c, learning_rate=0.1, final_learning_rate=0.1))}
    ours = make_optimizers(settings, ("a",), 10, 1)["a"]
    theirs = optax.adam(0.075, b1=0.5**0.75, b2=0.9**0.75)
    plain = optax.adam(0.1, b1=0.5, b2=0.9)
    grads = [jnp.array([1.0, -2.0]), jnp.array([0.5, 3.0])]

    def run(optimizer):
        state = optimizer.init(grads[0])
        with jax.numpy_dtype_promotion("standard"):
            for grad in grads:
                update, state = optimizer.update(grad, state)
        return update

    np.testing.assert_allclose(run(ours), run(theirs), rtol=1e-6)
    assert not np.allclose(run(ours), run(plain))
    settings["a"].lazy_interval = 0
    np.testing.assert_array_equal(run(make_optimizers(settings, ("a",), 10, 1)["a"]), run(plain))


def test_updates_are_counted_as_train_steps():
    """Several turns, and further updates for regularizers, do not end the annealing early."""

    def steps(turns, interval, count):
        return [int(step_of_update(jnp.int32(i), turns, interval)) for i in range(count)]

    assert steps(1, 0, 4) == [0, 1, 2, 3]
    assert steps(2, 0, 6) == [0, 0, 1, 1, 2, 2]
    assert steps(1, 3, 9) == [0, 0, 1, 2, 3, 3, 4, 5, 6]
    assert steps(2, 2, 12) == [0, 0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3]
    settings = dict(beta1=0.0, beta2=0.0, eps=0.0, lazy_interval=0)
    settings |= dict(learning_rate=1.0, final_learning_rate=0.0)
    optimizer = make_optimizers({"a": ConfigDict(settings)}, ("a", "a"), 2, 1)["a"]
    found, state = [], optimizer.init(jnp.ones(()))
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(4):
            update, state = optimizer.update(jnp.ones(()), state)
            found.append(float(update))
    np.testing.assert_allclose(found, [-1, -1, -0.5, -0.5], rtol=1e-6)


def test_learning_rate_is_a_cosine_in_steps_of_epochs():
    schedule = cosine_per_epoch(1.0, 0.1, total_steps=100, steps_per_epoch=10)
    rates = np.array([float(schedule(jnp.int32(s))) for s in range(110)])
    for epoch in range(10):
        expected = 0.1 + 0.9 * (1 + np.cos(np.pi * epoch / 10)) / 2
        np.testing.assert_allclose(rates[epoch * 10 : epoch * 10 + 10], expected, rtol=1e-6)
    np.testing.assert_allclose(rates[100:], 0.1, rtol=1e-6)
    constant = cosine_per_epoch(0.5, 0.5, 100, 10)
    assert {float(constant(jnp.int32(s))) for s in (0, 50, 100)} == {0.5}


def test_turns_of_a_role_are_averaged_and_none_of_their_outputs_is_lost():
    def turn(part):
        def loss(params, context):
            x = context.batch["image"][part::2]
            return jnp.mean((params["a"] - x) ** 2), Aux({f"of {part}": x[0], "mean": x.mean()}, x)

        return Phase("a", loss)

    seen = {}

    def carry_update(carry, outputs, context):
        seen.update(outputs)
        return carry

    method = quadratic_method()._replace(phases=(turn(0), turn(1)), carry_update=carry_update)
    image = jnp.arange(8.0)
    state = create_state(jax.random.key(0), method, {"a": Descent()})
    options = dict(method=method, optimizers={"a": Descent()}, ema_decay=0.5)
    batch = {"image": image, "label": image}
    state, metrics = train_step(state, batch, (), regularize=(False, False), **options)
    np.testing.assert_array_equal(jnp.sort(seen["a"]), image)
    # The first turn goes from 0 to twice the mean of its part, 6, the second from there to 2.
    assert float(state.params["a"]) == 2
    losses = [np.mean(np.square(image[0::2])), np.mean(np.square(6 - image[1::2]))]
    assert float(metrics["a/loss"]) == pytest.approx(np.mean(losses))
    assert float(metrics["a/mean"]) == 3.5
    assert (float(metrics["a/of 0"]), float(metrics["a/of 1"])) == (0, 1)


def test_the_rate_follows_the_steps_that_regularizers_take():
    """A rate that falls to 0 in 6 steps, with a further update in every second of them."""
    settings = dict(beta1=0.0, beta2=0.0, eps=0.0, lazy_interval=0)
    settings |= dict(learning_rate=1.0, final_learning_rate=0.0)
    optim = {"a": ConfigDict(settings)}
    optimizer = make_optimizers(optim, ("a",), 6, 1, {"a": 2})["a"]
    schedule = cosine_per_epoch(1.0, 0.0, 6, 1)
    found, state = [], optimizer.init(jnp.ones(()))
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(9):
            update, state = optimizer.update(jnp.ones(()), state)
            found.append(-float(update))
    steps = [0, 0, 1, 2, 2, 3, 4, 4, 5]
    np.testing.assert_allclose(found, [float(schedule(jnp.int32(s))) for s in steps], rtol=1e-6)
