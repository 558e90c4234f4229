"""DDDG: the carried chain, the latent scale, sampling and inversion."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs as runs

import ddgan_jax
from ddgan_jax import mesh as meshes
from ddgan_jax.build import build_method
from ddgan_jax.config import validate
from ddgan_jax.degradations import degradation
from ddgan_jax.errors import UserError
from ddgan_jax.methods.dddg import latent_scale, make_dddg
from ddgan_jax.networks.encoder import MLPEncoder, ResBlockEncoder
from ddgan_jax.networks.layers import conv, dense
from ddgan_jax.networks.ncsnpp import NCSNpp
from ddgan_jax.optim import make_optimisers
from ddgan_jax.presets import dddg
from ddgan_jax.sampling import sample_keys
from ddgan_jax.train_step import create_state, train_step
from ddgan_jax.types import Context

BATCH, SIZE, CLASSES = 8, 3, 4
SHAPE = (8, 8, 1)
LEVELS = {"pool": (4, 2), "dct": (1, 3), "blur": (2, 1)}  # t_max = 3


def tiny(kind="pool", classes=CLASSES, group=1):
    config = dddg(
        degradation=kind,
        levels=LEVELS[kind],
        latent_size=SIZE,
        classes=classes,
        gen=dict(
            network="mlp", width=8, blocks=1, t_width=4, octaves=0, tanh=False, equalised=True
        ),
        disc=dict(network="mlp", width=8, blocks=1, t_width=4, group=group, equalised=True),
    )
    config.train.batch_size = BATCH
    config.encoder.variance_decay = 0.75
    return config


def batch(seed=0):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (BATCH, *SHAPE), np.uint8)
    return {"image": image, "label": rng.integers(0, CLASSES, BATCH, np.int32)}


class Run:
    """A method, and what it takes to train it."""

    def __init__(self, config):
        self.config = config
        self.method = build_method(config, SHAPE)
        self.optimisers = make_optimisers(config.optim, ("disc", "gen"), 100, 10)
        create = functools.partial(create_state, method=self.method, optimisers=self.optimisers)
        self.start = jax.jit(create)(jax.random.key(0))
        self.step = self.jitted()
        self.encode, self.decode = jax.jit(self.method.encode), jax.jit(self.method.decode)

    def jitted(self, accumulate=1, **kwargs):
        step = functools.partial(
            train_step,
            method=self.method,
            optimisers=self.optimisers,
            ema_decay=0.9,
            regularise=(True, False),
            accumulate=accumulate,
        )
        return jax.jit(step, **kwargs)

    def after(self, steps):
        state = self.start
        for i in range(steps):
            state, _ = self.step(state, batch(i), ())
        return state


@functools.cache
def run_of(kind="pool", classes=CLASSES):
    return Run(tiny(kind, classes))


def params_of(state):
    return {**state.params, **state.ema}


def images(count=5, seed=0):
    x = np.random.default_rng(seed).uniform(-1, 1, (count, *SHAPE))
    return jnp.asarray(x, jnp.float32)


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
    degrade = run.method.degrade
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
    value, aux = run.method.phases[0].regulariser(params, context)
    assert float(value) == pytest.approx(0.1 * float(aux.metrics["r1"]), rel=1e-6)

    real = run.method.degrade(context.batch["image"], 1)
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
    """Nothing is drawn inside a step, so parts of the batch must give the same, carry included."""
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
    """The variance stands in carry and ema: two buffers, not one given away twice."""
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
    """Through checkpoints: stopped at t = 1, carried images, labels and latents come back."""
    every = "--config.train.checkpoint_every=4 steps"
    whole, part = tmp_path / "whole", tmp_path / "part"
    for workdir in (whole, part):
        runs.ok(*runs.TINY_DDDG, every, f"--workdir={workdir}")
    runs.rewind(part, 4)
    saved = runs.saved(part, 4)
    assert any("'carry'" in name and saved[name].shape == (16, *SHAPE) for name in saved)
    runs.ok(*runs.TINY_DDDG, every, f"--workdir={part}")
    runs.assert_same_state(whole, part, 8)
    assert runs.metrics(whole) == runs.metrics(part)
    model = ddgan_jax.load(part)
    assert set(model.params) == {"gen", "disc", "latent"}
    assert model.sample(jax.random.key(0), 3).shape == (3, *SHAPE)


# Sampling and inversion.


@pytest.mark.parametrize("kind", LEVELS)
def test_path_ends_in_the_sample_and_every_image_degrades_to_those_before(kind):
    run = run_of(kind)
    params = params_of(run.after(3))
    latents, labels = run.method.prior(sample_keys(jax.random.key(2), 0, 5))
    assert latents.shape == (5, 3, SIZE) and labels.shape == (5,) and labels.dtype == jnp.int32
    x, norm = jax.jit(run.method.path)(params, latents, labels)
    assert x.shape == (4, 5, *SHAPE) and norm.shape == (3, 5, *SHAPE)
    np.testing.assert_array_equal(x[0], np.zeros_like(x[0]))
    np.testing.assert_array_equal(x[-1], norm[-1])
    np.testing.assert_allclose(run.decode(params, latents, labels), x[-1], atol=1e-5)
    sample = run.method.sample(params, sample_keys(jax.random.key(2), 0, 5), ())
    np.testing.assert_allclose(sample, x[-1], atol=1e-5)
    for t in range(3):
        np.testing.assert_allclose(run.method.degrade(norm[t], t + 1), x[t + 1], atol=1e-5)
    if kind != "blur":
        for later in range(4):
            for t in range(later + 1):
                np.testing.assert_allclose(run.method.degrade(x[later], t), x[t], atol=1e-5)


def test_sampling_scales_the_latents():
    """Twice a latent is what a four times larger variance makes of it, the others being equal."""
    run = run_of()
    params = params_of(run.start)
    latents, labels = run.method.prior(sample_keys(jax.random.key(2), 0, 4))
    v = jnp.array([4.0, 1.0, 1.0]) * jnp.ones((3, 1))
    scaled = {**params, "latent": {"variance": v}}
    expected = run.decode(params, latents * latent_scale(v), labels)
    np.testing.assert_allclose(run.decode(scaled, latents, labels), expected, atol=1e-5)
    assert np.abs(run.decode(params, latents, labels) - expected).max() > 1e-3


def test_encode_looks_at_each_image_alone():
    run = Run(tiny(group=4))
    params, x = params_of(run.start), images(7)
    labels = jnp.zeros(7, jnp.int32)
    latents = run.encode(params, x, labels)
    assert latents.shape == (7, 3, SIZE) and latents.dtype == jnp.float32
    np.testing.assert_allclose(run.encode(params, x[2:5], labels[2:5]), latents[2:5], 1e-5)
    stored = batch()["image"]
    floats = stored.astype(np.float32) / 127.5 - 1
    a, b = (run.encode(params, y, jnp.zeros(BATCH, jnp.int32)) for y in (stored, floats))
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_an_encoder_may_be_told_the_class():
    config = tiny()
    config.encoder.per_class = True
    run = Run(config)
    state, metrics = run.step(run.start, batch(), ())
    assert all(np.isfinite(value) for value in metrics.values())
    told = [run.encode(params_of(state), images(3), jnp.full(3, c)) for c in (0, 1)]
    assert told[0].shape == (3, 3, SIZE) and (told[0] != told[1]).all()
    module = MLPEncoder(CLASSES, CLASSES * 3 * SIZE, 8, 1, 4, 1, True)
    x = run.method.degrade(images(3), 2)
    _, latents = module.apply({"params": state.ema["disc"]}, x, jnp.full(3, 2), judge=False)
    expected = latents.reshape(3, CLASSES, 3, SIZE)[:, 1, 1]  # class 1, t = 1
    np.testing.assert_allclose(told[1][:, 1], expected, atol=1e-5)
    blind = run_of()
    same = [blind.encode(params_of(blind.start), images(3), jnp.full(3, c)) for c in (0, 1)]
    np.testing.assert_array_equal(same[0], same[1])


def test_classes_are_drawn_evenly_and_change_the_image():
    run = run_of()
    _, labels = run.method.prior(sample_keys(jax.random.key(0), 0, 4000))
    share = np.bincount(labels, minlength=CLASSES) / 4000
    assert share.shape == (CLASSES,) and np.abs(share - 1 / CLASSES).max() < 0.03
    latents, _ = run.method.prior(sample_keys(jax.random.key(0), 0, 2))
    made = [run.decode(params_of(run.start), latents, jnp.full(2, c)) for c in (0, 1)]
    assert np.abs(made[0] - made[1]).max() > 1e-3


def test_unconditional_ignores_labels():
    run = run_of(classes=0)
    states = []
    for label in (0, 9):
        data = {**batch(), "label": np.full(BATCH, label, np.int32)}
        states.append(run.step(run.start, data, ())[0])
    pairs = zip(*(jax.tree.leaves(s.params) for s in states), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    latents, labels = run.method.prior(sample_keys(jax.random.key(0), 0, 3))
    assert (labels == 0).all()
    params = params_of(run.start)
    made = [run.decode(params, latents, jnp.full(3, c)) for c in (0, 7)]
    np.testing.assert_array_equal(made[0], made[1])


class OracleGenerator:
    """Writes what the latents say, pixel by pixel, over whatever it is given."""

    def apply(self, variables, x, t, code):
        del variables, t
        return code[:, : x[0].size].reshape(x.shape)


class OracleEncoder:
    """Reads the pixels off, as the latents of every step."""

    def apply(self, variables, x, t, judge=True):
        del variables, t
        flat = x.reshape(x.shape[0], -1)
        return (flat[:, :1] if judge else None), jnp.tile(flat, 3)


def oracle(kind):
    return make_dddg(
        generator=OracleGenerator(),
        discriminator=OracleEncoder(),
        degradation=degradation(kind, LEVELS[kind], SHAPE),
        shape=SHAPE,
        batch_size=2,
        latent_size=64,
        classes=0,
        encoder_weight=1.0,
        encoder_per_class=False,
        variance_decay=0.9,
        r1_weight=0.0,
        r1_every=1,
    )


ORACLE_PARAMS = {"gen": {}, "disc": {}, "latent": {"variance": jnp.ones((3, 64))}}


@pytest.mark.parametrize("kind", ["pool", "dct"])
def test_a_perfect_encoder_and_generator_invert_each_other(kind):
    """And the intermediate images are the degraded versions of the data."""
    method, x, labels = oracle(kind), images(), jnp.zeros(5, jnp.int32)
    latents = method.encode(ORACLE_PARAMS, x, labels)
    np.testing.assert_allclose(method.decode(ORACLE_PARAMS, latents, labels), x, atol=1e-5)
    path, _ = method.path(ORACLE_PARAMS, latents, labels)
    for t in range(4):
        np.testing.assert_allclose(path[t], method.degrade(x, t), atol=1e-5)


def test_refining_finds_latents_of_images_that_the_generator_can_make():
    method, x, labels = oracle("pool"), images(), jnp.zeros(5, jnp.int32)
    start = jnp.zeros((5, 3, 64))

    def errors(latents):
        made = method.decode(ORACLE_PARAMS, latents, labels)
        return np.asarray(jnp.mean((made - x) ** 2, axis=(1, 2, 3)))

    refined = method.refine(ORACLE_PARAMS, x, labels, start, 150, 0.05)
    assert (errors(refined) < 1e-3 * errors(start)).all()
    np.testing.assert_array_equal(method.refine(ORACLE_PARAMS, x, labels, start, 0, 0.05), start)
    # Far too large a step makes things worse; the best is returned.
    wild = method.refine(ORACLE_PARAMS, x, labels, refined, 5, 100.0)
    assert (errors(wild) <= errors(refined) + 1e-7).all()


@pytest.mark.slow
def test_refining_one_image_is_refining_it_among_others():
    run = run_of()
    params, x, labels = params_of(run.start), images(4), jnp.arange(4)
    start = run.encode(params, x, labels)
    many = run.method.refine(params, x, labels, start, 5, 0.1)
    one = run.method.refine(params, x[1:2], labels[1:2], start[1:2], 5, 0.1)
    np.testing.assert_allclose(one, many[1:2], atol=1e-5)
    inside = jax.jit(lambda z: run.method.refine(params, x, labels, z, 5, 0.1))(start)
    np.testing.assert_allclose(inside, many, atol=1e-4)


@pytest.mark.slow
def test_sampling_and_inversion_however_they_are_run():
    """Eager, jit, vmap, pmap and sharded over eight devices."""
    run = run_of()
    params = params_of(run.after(3))
    keys = sample_keys(jax.random.key(5), 0, 16)
    latents, labels = run.method.prior(keys)
    x = images(16)
    mesh = meshes.make_mesh()
    same, split = meshes.replicated(mesh), meshes.over_batch(mesh)
    for function, arrays in (
        (lambda p, k, _: run.method.sample(p, k, ()), (keys, labels)),
        (run.method.decode, (latents, labels)),
        (run.method.encode, (x, labels)),
    ):
        wanted = np.asarray(function(params, *arrays))

        def check(got, wanted=wanted):
            np.testing.assert_allclose(np.asarray(got).reshape(wanted.shape), wanted, atol=1e-5)

        check(jax.jit(function)(params, *arrays))
        single = lambda p, *a, f=function: f(p, *(y[None] for y in a))  # noqa: E731
        check(jax.vmap(single, in_axes=(None, 0, 0))(params, *arrays))
        parts = (y.reshape((8, 2, *y.shape[1:])) for y in arrays)
        check(jax.pmap(function, in_axes=(None, 0, 0))(params, *parts))
        sharded = jax.jit(function, in_shardings=(same, split, split), out_shardings=split)
        check(sharded(params, *arrays))


# Configs and layers.


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


def test_equalised_weights_start_at_one_and_are_scaled_when_used():
    x = jax.random.normal(jax.random.key(0), (64, 5, 5, 48))
    plain = dict(dtype=jnp.float32, param_dtype=jnp.float32)
    for make, fan_in in (
        (lambda **kw: conv(96, 3, **plain, **kw), 9 * 48),
        (lambda **kw: dense(96, **plain, **kw), 48),
    ):
        module = make(equalised=True)
        variables = module.init(jax.random.key(1), x)
        kernel = variables["params"]["kernel"]
        assert abs(float(kernel.std()) - 1) < 0.03
        scaled = {"params": {**variables["params"], "kernel": kernel / fan_in**0.5}}
        np.testing.assert_allclose(module.apply(variables, x), make().apply(scaled, x), atol=1e-4)


def test_coordinates_tell_the_pixels_of_a_flat_image_apart():
    """Away from the border, where zero padding is not seen."""
    sizes = dict(
        channels=1, width=4, multipliers=(1,), blocks=1, attention=(), z_width=4, z_layers=0
    )
    x, t, z = jnp.zeros((1, 24, 24, 1)), jnp.zeros(1, jnp.int32), jnp.ones((1, 3))
    spread = []
    for coordinates in (False, True):
        module = NCSNpp(**sizes, tanh=False, equalised=True, coordinates=coordinates)
        variables = jax.jit(module.init)(jax.random.key(0), x, t, z)
        kernel = variables["params"]["conv_in"]["kernel"]
        assert kernel.shape[2] == 1 + 2 * coordinates
        variables["params"]["conv_out"]["kernel"] = jnp.ones_like(
            variables["params"]["conv_out"]["kernel"]
        )
        inner = jax.jit(module.apply)(variables, x, t, z)[0, 10:14, 10:14]
        spread.append(float(inner.max() - inner.min()))
    assert spread[0] < 1e-5 and spread[1] > 1e-2


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_encoders_have_two_heads(dtype):
    x, t = jnp.ones((4, 8, 8, 1)), jnp.zeros(4, jnp.int32)
    for module in (
        ResBlockEncoder(5, 6, 4, (2, 4), (False, True), 8, 4, True, dtype=dtype),
        MLPEncoder(5, 6, 16, 1, 8, 4, True, dtype=dtype),
    ):
        (values, latents), variables = jax.jit(module.init_with_output)(jax.random.key(0), x, t)
        assert values.shape == (4, 5) and latents.shape == (4, 6)
        assert values.dtype == latents.dtype == jnp.float32
        encode = jax.jit(functools.partial(module.apply, judge=False))
        none, alone = encode(variables, x[:3], t[:3])
        assert none is None
        np.testing.assert_allclose(alone, latents[:3], atol=1e-2 if dtype != jnp.float32 else 1e-5)
