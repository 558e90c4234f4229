"""Tests that every method passes, run through the shared train step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_methods import CASES, STEPS, Case

from ddgan_jax.core.random import sample_keys
from ddgan_jax.core.train_step import which_regularize
from ddgan_jax.inference.sampling import sampling_params
from ddgan_jax.parallel import mesh as meshes

# The fast subset has one case of each kind.
QUICK = {"autoencoder-mlp", "ddgan-mlp", "dddg-mlp", "gan_classes-points", "ddpm-mlp"}
# Each of these tests compiles another step. They check the train step itself, so three cases that
# differ in what the step does stand for all: two phases and a lazy regularizer (ddgan), carried
# samples and learned statistics (dddg), a replicated carry with a controller (diffusion_gan).
REPRESENTATIVE = ("ddgan-mlp", "dddg-mlp", "diffusion_gan-mlp")


def case_param(name):
    return pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)


representative = pytest.mark.parametrize(
    "case", [case_param(name) for name in REPRESENTATIVE], indirect=True
)


@pytest.fixture(scope="module", params=[case_param(name) for name in CASES])
def case(request):
    return Case(*CASES[request.param])


def changed(before, after) -> bool:
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    return any(not np.array_equal(a, b) for a, b in pairs)


def test_all_is_finite_and_everything_that_should_move_moves(case):
    states, history = case.straight
    state = states[4]
    assert all(np.isfinite(v) for metrics in history for v in metrics.values())
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(states[-1].params))
    for role in state.params:
        assert changed(case.start.params[role], state.params[role]), role
        assert changed(case.start.opt_state[role], state.opt_state[role]), role
    for role in case.method.ema_roles:
        assert changed(case.start.ema[role], state.ema[role]), role
    assert int(state.step) == 4 and not changed(case.start.key, state.key)


@representative
def test_only_the_phases_role_moves(case):
    """With a single phase, the parameters of the other roles stay the same bits."""
    for phase in case.method.phases:
        step = case.jitted(method=case.method._replace(phases=(phase,)))
        state, _ = step(case.start, case.batch(0), case.frozen)
        for role in case.start.params:
            assert changed(case.start.params[role], state.params[role]) == (role == phase.role)


def test_same_state_same_step(case):
    states, history = case.straight
    again, metrics = case.run(case.start, 3)
    assert not changed(again[-1], states[3]) and not changed(metrics, history[:3])


def test_resume_is_bit_exact(case):
    states, history = case.straight
    reloaded = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), states[3])  # through the host
    resumed, rest = case.run(reloaded, STEPS - 3)
    assert not changed(states[-1], resumed[-1])
    assert not changed(history[3:], rest)


def test_one_trace_per_variant(case):
    """Two variants are traced at most, for states from a step and from the host."""
    test_resume_is_bit_exact(case)
    variants = {which_regularize(case.method, step) for step in range(STEPS)}
    assert sorted(case.traces) == sorted(variants) and len(variants) <= 2


@representative
@pytest.mark.parametrize("count", [pytest.param(2, marks=pytest.mark.slow), 8])
def test_any_number_of_devices_computes_the_same_run(case, count):
    """State replicated, batch split, as in training; whole runs are in parallel/test_devices.py."""
    mesh = meshes.make_mesh(jax.devices()[:count])
    same = meshes.replicated(mesh)
    layouts = (same, meshes.batch_sharded(mesh), same)
    spread = case.jitted(in_shardings=layouts, out_shardings=(same, same))
    one = many = case.start
    for i in range(2):
        one, a = case.step(one, case.batch(i), like=0)
        many, b = spread(many, case.batch(i), case.frozen)
        for name in a:
            np.testing.assert_allclose(a[name], b[name], 1e-4, 1e-5, err_msg=name)
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
        np.testing.assert_allclose(x, y, 1e-2, 1e-4)


@representative
def test_a_donated_state_changes_nothing(case):
    """Compares with a step that does not donate; all other tests donate, as training does."""
    kept, _ = case.jitted()(case.start, case.batch(0), case.frozen)
    for a, b in zip(jax.tree.leaves(case.straight[0][1]), jax.tree.leaves(kept), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_what_sampling_needs_of_the_carry_stands_beside_the_averages(case):
    state = case.straight[0][2]
    learned = case.method.learned(state.carry)
    assert set(state.ema) == set(case.method.ema_roles) | set(learned)
    assert not changed(learned, {role: state.ema[role] for role in learned})


def test_every_step_draws_new_noise(case):
    """The noise may be drawn in the step or carried over from the one before."""

    def metrics_of_second(number):
        state, _ = case.step(case.start._replace(step=jnp.int32(number)), case.batch(0), like=1)
        return case.step(state, case.batch(0), like=1)[1]

    assert changed(metrics_of_second(1), metrics_of_second(2))


def test_ema_is_the_moving_average(case):
    state = case.straight[0][1]
    for role in case.method.ema_roles:
        expected = jax.tree.map(
            lambda old, new: 0.9 * old + 0.1 * new, case.start.ema[role], state.params[role]
        )
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
            state.ema[role],
            expected,
        )


def test_samples_depend_on_their_own_key_alone(case):
    if case.method.sample is None:
        pytest.skip("it draws no samples")
    sample = jax.jit(case.method.sample)
    params = sampling_params(case.start)
    key = jax.random.key(3)
    first = sample(params, sample_keys(key, 0, 7), case.frozen)
    assert first.shape == (7, *case.shape) and first.dtype == jnp.float32
    assert bool(jnp.isfinite(first).all())
    three = sample(params, sample_keys(key, 2, 3), case.frozen)  # in a batch of another size
    np.testing.assert_allclose(three, first[2:5], atol=1e-5)
    assert changed(first[0], first[1])


@pytest.mark.parametrize(
    "case", [case_param(name) for name in CASES if not name.endswith("conv")], indirect=True
)
def test_accumulation_is_traced_for_every_method(case):
    """The step on two parts of a batch returns arrays like those of the whole; nothing compiles."""
    arguments = (case.start, case.batch(0), case.frozen)
    state, metrics = jax.eval_shape(case.jitted(accumulate=2), *arguments)
    expected, first = case.straight[0][1], case.straight[1][0]
    assert state == jax.eval_shape(lambda: expected) and metrics.keys() == first.keys()
    assert all(value.shape == () for value in metrics.values())


@pytest.mark.slow
@representative
def test_accumulated_metrics_are_finite(case):
    _, metrics = case.jitted(accumulate=2)(case.start, case.batch(0), case.frozen)
    assert all(np.isfinite(v) for v in jax.device_get(metrics).values())
