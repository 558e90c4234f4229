"""DDDG: carried chain, latent scale, losses, invalid configs."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs as runs
from tiny_dddg import BATCH, CLASSES, LEVELS, SHAPE, SIZE, batch, run_of, tiny

import ddgan_jax
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Context
from ddgan_jax.methods import build_method, validate
from ddgan_jax.methods.dddg import latent_scale
from ddgan_jax.networks.encoder import MLPEncoder


def test_latent_scale_has_the_length_of_ones():
    v = jnp.exp(jax.random.normal(jax.random.key(0), (6, 64)) * 3)
    s = latent_scale(v)
    np.testing.assert_allclose(jnp.sum(s**2, axis=-1), 64, rtol=1e-5)
    np.testing.assert_allclose(s**2 / v, jnp.broadcast_to(s[:, :1] ** 2 / v[:, :1], v.shape), 1e-4)
    np.testing.assert_allclose(latent_scale(jnp.ones((2, 5))), 1)


def test_a_step_moves_row_t_of_the_variance_and_t():
    run = run_of()
    state = run.start
    assert (state.carry.shared["variance"] == 1).all()
    for i in range(7):
        before = state
        state, _ = run.step(state, batch(i), ())
        t = i % 3
        assert int(before.carry.shared["t"]) == t
        old, new = (np.asarray(s.carry.shared["variance"]) for s in (before, state))
        moved = (old != new).any(axis=1)
        assert moved.tolist() == [row == t for row in range(3)]
        np.testing.assert_array_equal(state.ema["latent"]["variance"], new)


def test_the_variance_is_that_of_the_predicted_latents():
    """v_t <- decay v_t + (1 - decay) mean z'^2, z' as predicted before any player moves."""
    run = run_of()
    state = run.after(4)  # t = 1, x'_1
    after, _ = run.step(state, batch(4), ())
    samples = after.carry.samples  # x'_2, for which reduce_info(x'_2, 2) = x'_2
    predicted = run.encode(state.params, samples["x"], samples["label"])[:, 1]
    old = state.carry.shared["variance"][1]
    expected = 0.75 * old + 0.25 * jnp.mean(predicted**2, axis=0)
    np.testing.assert_allclose(after.carry.shared["variance"][1], expected, rtol=1e-4)


@pytest.mark.parametrize("kind", LEVELS)
def test_the_carried_images_are_a_chain(kind):
    """x'_0 is constant; each degrades to the one before; labels stay until a new chain begins."""
    run = run_of(kind)
    degrade = run.method.inversion.degrade
    state = run.start
    previous, label = None, None
    for i in range(8):
        x, t = state.carry.samples["x"], int(state.carry.shared["t"])
        if t == 0:
            np.testing.assert_array_equal(x, np.zeros((BATCH, *SHAPE)))
            label = batch(i)["label"]
        else:
            assert np.abs(x).max() > 0
            np.testing.assert_array_equal(state.carry.samples["label"], label)
            if kind != "blur":
                np.testing.assert_allclose(degrade(x, t - 1), previous, atol=1e-5)
        previous = x
        z = state.carry.samples["z"]
        state, _ = run.step(state, batch(i), ())
        assert (state.carry.samples["z"] != z).all()


def test_the_first_image_does_not_depend_on_data():
    run = run_of()
    for seed in range(3):
        state = run.start
        for i in range(3):
            state, _ = run.step(state, batch(10 * seed + i), ())
        assert int(state.carry.shared["t"]) == 0
        np.testing.assert_array_equal(state.carry.samples["x"], np.zeros((BATCH, *SHAPE)))


def context_of(run, state, seed=0):
    made = jax.tree.map(jnp.asarray, batch(seed))
    return Context(made, jax.random.key(1), state.step, state.carry, ())


def test_both_players_see_the_same_image():
    run = run_of()
    context = context_of(run, run.after(2))
    losses = [phase.loss for phase in run.method.phases]
    (_, disc), (_, gen) = (jax.jit(loss)(run.start.params, context) for loss in losses)
    for name in ("x", "z"):
        np.testing.assert_allclose(disc.outputs[name], gen.outputs[name], atol=1e-6)
    assert float(disc.metrics["encoder"]) == pytest.approx(float(gen.metrics["encoder"]), rel=1e-5)


def test_the_encoder_loss_is_weighted_by_the_scale():
    """L_enc = mean_i ((z - z') s_t)_i^2, s_t from the variance of row t."""
    run = run_of()
    state = run.start
    v = jnp.arange(1.0, 10.0).reshape(3, 3)
    shared = {"t": jnp.int32(2), "variance": v}
    state = state._replace(carry=state.carry._replace(shared=shared))
    _, aux = run.method.phases[0].loss(state.params, context_of(run, state))
    error = (state.carry.samples["z"] - aux.outputs["z"]) * latent_scale(v[2])
    assert float(aux.metrics["encoder"]) == pytest.approx(float(jnp.mean(error**2)), rel=1e-5)


def test_r1_is_not_halved_and_of_the_chosen_output():
    run = run_of()
    context = context_of(run, run.start)
    params = run.start.params
    value, aux = run.method.phases[0].regularizer(params, context)
    assert float(value) == pytest.approx(0.1 * float(aux.metrics["r1"]), rel=1e-6)

    real = run.method.inversion.degrade(context.batch["image"], 1)
    module = MLPEncoder(CLASSES, 3 * SIZE, 8, 1, 4, 1, True)
    gradients = []
    for x, label in zip(real, context.batch["label"], strict=True):
        chosen = lambda y, k=label: module.apply(  # noqa: E731
            {"params": params["disc"]}, y[None], jnp.ones(1, jnp.int32)
        )[0][0, k]
        gradients.append(jnp.sum(jax.grad(chosen)(x) ** 2))
    assert float(aux.metrics["r1"]) == pytest.approx(
        float(jnp.mean(jnp.stack(gradients))), rel=1e-4
    )


def test_gradients_reach_both_players_and_only_through_what_they_own():
    run = run_of()
    context = context_of(run, run.after(1))
    for phase, other in zip(run.method.phases, ("gen", "disc"), strict=True):
        grads = jax.jit(jax.grad(lambda p, f=phase.loss: f(p, context)[0]))(run.start.params)
        assert float(jnp.abs(grads[phase.role]["trunk"]["in"]["kernel"]).max()) > 0
        if phase.role == "disc":
            assert all((leaf == 0).all() for leaf in jax.tree.leaves(grads[other]))


@pytest.mark.parametrize("accumulate", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_accumulated_steps_are_those_of_the_whole_batch(accumulate):
    """A step draws no noise, so accumulated parts give the same numbers and the same carry."""
    run = run_of()
    whole, parts = run.start, run.start
    accumulated = run.jitted(accumulate)
    for i in range(4):
        whole, a = run.step(whole, batch(i), ())
        parts, b = accumulated(parts, batch(i), ())
        for name in a:
            np.testing.assert_allclose(a[name], b[name], 1e-3, 1e-5, err_msg=name)
    for one, other in zip(jax.tree.leaves(whole.carry), jax.tree.leaves(parts.carry), strict=True):
        np.testing.assert_allclose(one, other, 1e-3, 1e-4)


def test_the_state_may_be_donated_again_and_again():
    """The variance in carry and ema has two buffers, so donation does not free it twice."""
    run = run_of()
    donating = run.jitted(donate_argnums=0)
    state = jax.tree.map(jnp.copy, run.start)
    for i in range(3):
        state, _ = donating(state, batch(i), ())
    kept = run.after(3)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(kept), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_resumed_run_goes_on_in_the_middle_of_the_chain(tmp_path):
    """A checkpoint at t = 1 restores carried images, labels and latents."""
    every = "--config.train.checkpoint_every=4 steps"
    whole, part = tmp_path / "whole", tmp_path / "part"
    runs.ok(*runs.TINY_DDDG, every, f"--workdir={whole}")
    shutil.copytree(whole, part)
    runs.rewind(part, 4)
    saved = runs.saved(part, 4)
    assert any("'carry'" in name and saved[name].shape == (16, *SHAPE) for name in saved)
    runs.ok(*runs.TINY_DDDG, every, f"--workdir={part}")
    runs.assert_same_state(whole, part, 8)
    assert runs.metrics(whole) == runs.metrics(part)
    model = ddgan_jax.load(part)
    assert set(model.params) == {"gen", "disc", "latent"}
    assert model.sample(jax.random.key(0), 3).shape == (3, *SHAPE)


@pytest.mark.parametrize(
    "field, value, says",
    [
        ("degradation.levels", (3.0,), "config.degradation.levels"),
        ("gen.dropout", 0.1, "config.gen.dropout"),
        ("train.batch_size", 6, "multiple of 4"),
        ("encoder.per_class", True, "config.encoder.per_class"),
    ],
)
def test_what_does_not_fit_together_is_one_line(field, value, says):
    config = tiny(group=4, classes=0)
    section, name = field.split(".")
    config[section][name] = value
    with pytest.raises(UserError) as error:
        validate(config)
        build_method(config, SHAPE)
    assert says in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "field, value",
    [
        ("r1.weight", -1.0),
        ("encoder.weight", -1.0),
        ("encoder.variance_decay", 1.0),
        ("classes", -1),
        ("degradation.levels", ("a",)),
    ],
)
def test_numbers_out_of_range_are_named(field, value):
    config = tiny()
    config.unlock()
    *sections, name = field.split(".")
    (config[sections[0]] if sections else config)[name] = value
    with pytest.raises(UserError, match=f"config.{field} is"):
        validate(config)
