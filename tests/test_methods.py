"""The suite that every method passes, through the one train step."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddgan_jax import mesh as meshes
from ddgan_jax.build import build_method
from ddgan_jax.optim import cosine_per_epoch, make_optimisers
from ddgan_jax.presets import dddg, ddgan, ddpm, diffusion_gan, difgan, gan
from ddgan_jax.sampling import sample_keys
from ddgan_jax.train_step import create_state, train_step, which_regularise
from ddgan_jax.types import Aux, Method, Phase

BATCH = 8


def mlp_config():
    return ddgan(
        num_steps=2,
        latent_size=3,
        gen=dict(network="mlp", width=8, blocks=1, t_width=4, octaves=0, tanh=True),
        disc=dict(network="mlp", width=8, blocks=1, t_width=4, octaves=0, group=4),
        lr_gen=1e-3,
        lr_disc=1e-3,
        r1_gamma=0.1,
        r1_every=3,
    )


def conv_config():
    config = mlp_config()
    config.gen = dict(
        network="ncsnpp",
        width=4,
        multipliers=(1, 1),
        blocks=1,
        attention=(4,),
        z_width=4,
        z_layers=0,
        dropout=0.1,
    )
    config.disc = dict(
        network="resblock",
        width=2,
        multipliers=(2, 2),
        downsample=(False, True),
        t_width=4,
        final_scale=1.0,
    )
    return config


def dddg_mlp_config():
    config = dddg(
        degradation="pool",
        levels=(2,),
        latent_size=3,
        classes=2,
        gen=dict(
            network="mlp", width=8, blocks=1, t_width=4, octaves=0, tanh=False, equalised=True
        ),
        disc=dict(network="mlp", width=8, blocks=1, t_width=4, group=4, equalised=True),
    )
    config.train.batch_size = BATCH  # so many images are carried
    config.r1.every = 3
    return config


def dddg_conv_config():
    config = dddg_mlp_config()
    config.gen = dict(
        network="ncsnpp",
        width=4,
        multipliers=(1, 1),
        blocks=1,
        attention=(4,),
        z_width=4,
        z_layers=0,
        tanh=False,
        normalise_z=False,
        coordinates=True,
        equalised=True,
    )
    config.disc = dict(
        network="resblock",
        width=2,
        multipliers=(2, 2),
        downsample=(False, True),
        t_width=4,
        group=4,
        equalised=True,
    )
    return config


def family(config, networks=mlp_config):
    """A config of the GAN family with the tiny networks of DDGAN."""
    config.gen, config.disc = networks().gen, networks().disc
    return config


ADVERSARIAL = dict(gen={}, disc={}, lr_gen=1e-3, lr_disc=1e-3, r1_gamma=0.1, r1_every=3)


def gan_config(networks=mlp_config):
    return family(gan(noise="latent", latent_size=3, **ADVERSARIAL), networks)


def gan_highdim_config():
    return family(gan(noise="image", **ADVERSARIAL))


def diffusion_gan_config(networks=mlp_config):
    config = family(diffusion_gan(noise="latent", latent_size=3, **ADVERSARIAL), networks)
    config.instance_noise.every = 2
    return config


def difgan_config(networks=mlp_config):
    return family(difgan(num_steps=2, **ADVERSARIAL), networks)


def ddpm_config():
    config = ddpm(gen=mlp_config().gen, learning_rate=1e-3, clip=True)
    config.diffusion.num_steps, config.sampler.steps = 10, 5
    return config


def ddim_config():
    config = ddpm_config()
    config.sampler.kind = "ddim"
    return config


CASES = {
    "ddgan-points": (mlp_config, (2,)),
    "ddgan-mlp": (mlp_config, (4, 4, 1)),
    "ddgan-conv": (conv_config, (8, 8, 1)),
    "dddg-mlp": (dddg_mlp_config, (4, 4, 1)),
    "dddg-conv": (dddg_conv_config, (8, 8, 1)),
    "gan-points": (gan_config, (2,)),
    "gan_highdim-mlp": (gan_highdim_config, (4, 4, 1)),
    "diffusion_gan-mlp": (diffusion_gan_config, (4, 4, 1)),
    "difgan-mlp": (difgan_config, (4, 4, 1)),
    "ddpm-mlp": (ddpm_config, (4, 4, 1)),
    "ddim-points": (ddim_config, (2,)),
}


CONV = {name for name in CASES if name.endswith("conv")}  # half a minute for every compilation
# For what the train step does whatever the networks are, and compiles once more for each test.
without_conv = pytest.mark.parametrize("case", [c for c in CASES if c not in CONV], indirect=True)


@pytest.fixture(
    scope="module",
    params=[pytest.param(c, marks=pytest.mark.slow if c in CONV else ()) for c in CASES],
)
def case(request):
    make_config, shape = CASES[request.param]
    config = make_config()
    method = build_method(config, shape)
    roles = tuple(phase.role for phase in method.phases)
    optimisers = make_optimisers(config.optim, roles, 100, 10)
    traces = []

    def counted(state, batch, frozen, **static):
        traces.append(static["regularise"])
        return train_step(state, batch, frozen, **static)

    @functools.cache
    def compiled(regularise, accumulate=1):
        return jax.jit(
            functools.partial(
                counted,
                method=method,
                optimisers=optimisers,
                ema_decay=0.9,
                regularise=regularise,
                accumulate=accumulate,
            )
        )

    def batch(step):
        rng = np.random.default_rng(step)
        if len(shape) == 3:
            image = rng.integers(0, 256, (BATCH, *shape), np.uint8)
        else:
            image = rng.standard_normal((BATCH, *shape)).astype(np.float32)
        return {"image": image, "label": np.zeros(BATCH, np.int32)}

    def step(state):
        number = int(state.step)
        return compiled(which_regularise(method, number))(state, batch(number), ())

    create = jax.jit(functools.partial(create_state, method=method, optimisers=optimisers))
    return SimpleNamespace(
        config=config,
        shape=shape,
        method=method,
        optimisers=optimisers,
        start=create(jax.random.key(0)),
        step=step,
        batch=batch,
        compiled=compiled,
        traces=traces,
    )


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
        state, _ = step(case.start, case.batch(0), ())
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
        one, a = case.compiled(which_regularise(case.method, 0))(one, case.batch(i), ())
        many, b = spread(many, case.batch(i), ())
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
        state, _ = step(case.start._replace(step=jnp.int32(number)), case.batch(0), ())
        return step(state, case.batch(0), ())[1]

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
    donated, _ = donating(copy, case.batch(0), ())
    kept, _ = case.compiled(variant)(case.start, case.batch(0), ())
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
    sample = jax.jit(case.method.sample)
    params = {**case.start.params, **case.start.ema}
    key = jax.random.key(3)
    seven = sample(params, sample_keys(key, 0, 7), ())
    assert seven.shape == (7, *case.shape) and seven.dtype == jnp.float32
    assert bool(jnp.isfinite(seven).all())
    np.testing.assert_allclose(sample(params, sample_keys(key, 2, 3), ()), seven[2:5], atol=1e-5)
    assert changed(seven[0], seven[1])


# The machinery itself, with losses whose gradients are known.


def quadratic_method() -> Method:
    def loss(params, context):
        return jnp.mean((params["a"] - context.batch["image"]) ** 2), Aux({"seen": params["b"]})

    def regulariser(params, context):
        del context
        return 10 * params["a"] ** 2, Aux({"extra": params["a"]})

    return Method(
        init=lambda key: {"a": jnp.zeros(()), "b": jnp.ones(())},
        phases=(Phase("a", loss, regulariser, 2),),
        sample=lambda params, keys, frozen: params["a"],
        ema_roles=("a",),
        nfe=1,
    )


class Descent:
    """Plain gradient descent with rate 1, which shows the gradient itself."""

    init = staticmethod(lambda params: ())
    update = staticmethod(lambda g, s, p: (jax.tree.map(jnp.negative, g), s))


def quadratic_step(regularise, accumulate):
    method = quadratic_method()
    optimisers = {"a": Descent()}
    state = create_state(jax.random.key(0), method, optimisers)
    image = jnp.arange(8.0) + 1
    state, metrics = train_step(
        state,
        {"image": image, "label": image},
        (),
        method=method,
        optimisers=optimisers,
        ema_decay=0.5,
        regularise=(regularise,),
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
    assert [which_regularise(method, s)[0] for s in range(4)] == [True, False, True, False]
    _, metrics = quadratic_step(True, 1)
    assert "a/extra" in metrics


@pytest.mark.slow
@without_conv
def test_accumulation_runs_for_every_method(case):
    _, metrics = case.compiled(which_regularise(case.method, 0), 2)(case.start, case.batch(0), ())
    assert all(np.isfinite(v) for v in jax.device_get(metrics).values())


def test_learning_rate_is_a_cosine_in_steps_of_epochs():
    schedule = cosine_per_epoch(1.0, 0.1, total_steps=100, steps_per_epoch=10)
    rates = np.array([float(schedule(jnp.int32(s))) for s in range(110)])
    for epoch in range(10):
        expected = 0.1 + 0.9 * (1 + np.cos(np.pi * epoch / 10)) / 2
        np.testing.assert_allclose(rates[epoch * 10 : epoch * 10 + 10], expected, rtol=1e-6)
    np.testing.assert_allclose(rates[100:], 0.1, rtol=1e-6)
    constant = cosine_per_epoch(0.5, 0.5, 100, 10)
    assert {float(constant(jnp.int32(s))) for s in (0, 50, 100)} == {0.5}
