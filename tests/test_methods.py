"""The suite that every method passes, through the one train step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_methods import CASES, make_case

from ddgan_jax import mesh as meshes
from ddgan_jax.sampling import sample_keys
from ddgan_jax.train_step import train_step, which_regularise

CONV = {name for name in CASES if name.endswith("conv")}  # seconds for every compilation
# For what the train step does whatever the networks are, and compiles once more for each test.
without_conv = pytest.mark.parametrize("case", [c for c in CASES if c not in CONV], indirect=True)


@pytest.fixture(
    scope="module",
    params=[pytest.param(c, marks=pytest.mark.slow if c in CONV else ()) for c in CASES],
)
def case(request):
    return make_case(request.param)


def changed(before, after) -> bool:
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    return any(not np.array_equal(a, b) for a, b in pairs)


def run(case, state, steps):
    history = []
    for _ in range(steps):
        state, metrics = case.step(state)
        history.append(jax.device_get(metrics))
    return state, history


def test_one_trace_per_variant(case):
    case.traces.clear()
    run(case, case.start, 7)
    assert len(case.traces) == len(set(case.traces)) <= 2


def test_all_is_finite_and_everything_that_should_move_moves(case):
    state, history = run(case, case.start, 4)
    assert all(np.isfinite(v) for metrics in history for v in metrics.values())
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(state.params))
    for role in state.params:
        assert changed(case.start.params[role], state.params[role]), role
        assert changed(case.start.opt_state[role], state.opt_state[role]), role
    for role in case.method.ema_roles:
        assert changed(case.start.ema[role], state.ema[role]), role
    assert int(state.step) == 4 and not changed(case.start.key, state.key)


@without_conv
def test_only_the_phases_role_moves(case):
    """With all phases but one taken away, the parameters of the other roles stay bit for bit."""
    for phase in case.method.phases:
        alone = case.method._replace(phases=(phase,))
        step = jax.jit(
            functools.partial(
                train_step,
                method=alone,
                optimisers=case.optimisers,
                ema_decay=0.9,
                regularise=(phase.regulariser is not None,),
            )
        )
        state, _ = step(case.start, case.batch(0), case.frozen)
        for role in case.start.params:
            assert changed(case.start.params[role], state.params[role]) == (role == phase.role)


def test_same_state_same_step(case):
    first, _ = run(case, case.start, 3)
    second, _ = run(case, case.start, 3)
    assert not changed(first, second)


def test_resume_is_bit_exact(case):
    straight, history = run(case, case.start, 6)
    half, _ = run(case, case.start, 3)
    reloaded = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), half)  # through the host
    resumed, rest = run(case, reloaded, 3)
    assert not changed(straight, resumed)
    assert not changed(history[3:], rest)


@pytest.mark.slow
@without_conv
@pytest.mark.parametrize("devices", [8])  # tests/test_devices.py has 2, and whole runs
def test_any_number_of_devices_computes_the_same_run(case, devices):
    """State replicated, batch split, as in training."""
    mesh = meshes.make_mesh(jax.devices()[:devices])
    same = meshes.replicated(mesh)
    spread = jax.jit(
        functools.partial(
            train_step,
            method=case.method,
            optimisers=case.optimisers,
            ema_decay=0.9,
            regularise=which_regularise(case.method, 0),
        ),
        in_shardings=(same, meshes.over_batch(mesh), same),
        out_shardings=(same, same),
    )
    one = many = case.start
    for i in range(2):
        one, a = case.compiled(which_regularise(case.method, 0))(one, case.batch(i), case.frozen)
        many, b = spread(many, case.batch(i), case.frozen)
        for name in a:
            np.testing.assert_allclose(a[name], b[name], 1e-4, 1e-5, err_msg=name)
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
        np.testing.assert_allclose(x, y, 1e-2, 1e-4)


def test_what_sampling_needs_of_the_carry_stands_beside_the_averages(case):
    state, _ = run(case, case.start, 2)
    learned = case.method.learned(state.carry)
    assert set(state.ema) == set(case.method.ema_roles) | set(learned)
    assert not changed(learned, {role: state.ema[role] for role in learned})


def test_every_step_draws_new_noise(case):
    """In the step itself or for the next: what a method carries may be its noise."""
    step = case.compiled((False,) * len(case.method.phases))

    def metrics_of_second(number):
        state, _ = step(case.start._replace(step=jnp.int32(number)), case.batch(0), case.frozen)
        return step(state, case.batch(0), case.frozen)[1]

    assert changed(metrics_of_second(1), metrics_of_second(2))


@pytest.mark.slow
@without_conv
def test_donated_state_works(case):
    variant = which_regularise(case.method, 0)
    donating = jax.jit(
        functools.partial(
            train_step,
            method=case.method,
            optimisers=case.optimisers,
            ema_decay=0.9,
            regularise=variant,
        ),
        donate_argnums=0,
    )
    copy = jax.tree.map(jnp.copy, case.start)
    donated, _ = donating(copy, case.batch(0), case.frozen)
    kept, _ = case.compiled(variant)(case.start, case.batch(0), case.frozen)
    for a, b in zip(jax.tree.leaves(donated), jax.tree.leaves(kept), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_ema_is_the_moving_average(case):
    state, _ = run(case, case.start, 1)
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
    params = {**case.start.params, **case.start.ema}
    key = jax.random.key(3)
    seven = sample(params, sample_keys(key, 0, 7), case.frozen)
    assert seven.shape == (7, *case.shape) and seven.dtype == jnp.float32
    assert bool(jnp.isfinite(seven).all())
    three = sample(params, sample_keys(key, 2, 3), case.frozen)
    np.testing.assert_allclose(three, seven[2:5], atol=1e-5)
    assert changed(seven[0], seven[1])


@pytest.mark.slow
@without_conv
def test_accumulation_runs_for_every_method(case):
    step = case.compiled(which_regularise(case.method, 0), 2)
    _, metrics = step(case.start, case.batch(0), case.frozen)
    assert all(np.isfinite(v) for v in jax.device_get(metrics).values())
