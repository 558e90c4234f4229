"""Diffusion-ProjectedGAN: what its discriminators see, what moves, what sampling uses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_methods as tiny
from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.random import sample_keys
from ddgan_jax.core.types import Context
from ddgan_jax.diffusion import instance_noise
from ddgan_jax.methods import build_method, projected_gan, validate
from ddgan_jax.networks.layers import BATCH_STATS

pytestmark = pytest.mark.slow


@functools.cache
def case():
    return tiny.Case(*tiny.CASES["projected_gan-images"])


def parts():
    """The parts of the case's method."""
    return case().method.phases[0].loss.args[0]


def context(state, batch):
    return Context(batch, jax.random.key(4), state.step, state.carry, ())


def test_features_and_projections_never_move_and_statistics_do():
    before, after = case().start.carry.shared, case().straight[0][3].carry.shared
    for name in ("mixing", "features"):
        pairs = zip(jax.tree.leaves(before[name]), jax.tree.leaves(after[name]), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs), name
    pairs = zip(
        jax.tree.leaves(before[BATCH_STATS]), jax.tree.leaves(after[BATCH_STATS]), strict=True
    )
    assert all(not np.array_equal(a, b) for a, b in pairs)


def test_running_statistics_move_once_for_each_player():
    """As PyTorch's, 0.1 of the way to those of the batch, in the turns of both."""
    method, state, batch = case().method, case().start, case().batch(0)
    outputs = {
        phase.role: jax.jit(phase.loss)(state.params, context(state, batch))[1].outputs
        for phase in method.phases
    }
    moved = method.carry_update(state.carry, outputs, context(state, batch)).shared[BATCH_STATS]
    expected = state.carry.shared[BATCH_STATS]
    for role in ("gen", "disc"):
        found = outputs[role][BATCH_STATS]
        expected = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b[0], expected, found)
    for a, b in zip(jax.tree.leaves(moved), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_the_generator_learns_through_the_frozen_features():
    state, batch = case().start, case().batch(0)

    def loss(images):
        here = context(state, batch)
        return jnp.mean(projected_gan.logits(parts(), state.params, here, 2, images))

    gradient = jax.jit(jax.grad(loss))(jnp.zeros((tiny.BATCH, 8, 8, 1)))
    each = jnp.abs(gradient).sum((1, 2, 3))
    assert bool(jnp.all(jnp.isfinite(gradient))) and bool(jnp.all(each > 0))


def test_p_follows_the_sign_of_the_logits_of_real_images():
    method, state, batch = case().method, case().start, case().batch(0)
    losses = {phase.role: jax.jit(phase.loss) for phase in method.phases}
    found = {role: f(state.params, context(state, batch))[1].outputs for role, f in losses.items()}
    for sign in (1, -1):
        carry, outputs = state.carry, {**found}
        outputs["disc"] = {**found["disc"], "real": sign * jnp.ones_like(found["disc"]["real"])}
        shared = {**carry.shared, "noise": carry.shared["noise"]._replace(p=jnp.float32(0.5))}
        carry = carry._replace(shared=shared)
        for _ in range(2):  # config.instance_noise.every
            carry = method.carry_update(carry, outputs, context(state, batch))
        assert float(jnp.sign(carry.shared["noise"].p - 0.5)) == sign


def test_samples_are_made_with_the_running_statistics():
    method, state = case().method, case().straight[0][3]
    sample = jax.jit(lambda params, keys: method.sample(params, keys, ()))
    keys = sample_keys(jax.random.key(0), 0, 4)
    params = {"gen": state.ema["gen"], BATCH_STATS: state.ema[BATCH_STATS]}
    one, all_of_them = sample(params, keys[2:3]), sample(params, keys)
    np.testing.assert_allclose(one[0], all_of_them[2], rtol=1e-4, atol=1e-5)
    stats = jax.tree.map(lambda x: x + 1, params[BATCH_STATS])
    assert not np.allclose(sample({**params, BATCH_STATS: stats}, keys), all_of_them)


def test_gray_images_are_enlarged_and_shown_as_color():
    images = jnp.linspace(-1, 1, 64).reshape(1, 8, 8, 1)
    seen = projected_gan.enlarged_color(parts(), images)
    assert seen.shape == (1, 128, 128, 3)
    np.testing.assert_array_equal(seen[..., 0], seen[..., 2])
    assert float(seen.min()) == -1 and float(seen.max()) == 1


def without_augmentation():
    return parts()._replace(augment=lambda context, use, *images: images)


def noisy_state():
    """The first state with p = 1/2: half of the channels have noise."""
    state, settings = case().start, parts().noise
    noise, p = state.carry.shared["noise"], jnp.float32(0.5)
    length = instance_noise.chain_length(settings, p)
    times = instance_noise.draw_times(settings, jax.random.key(1), length, p)
    assert int(jnp.sum(times > 0)) == 32
    shared = {**state.carry.shared, "noise": noise._replace(p=p, length=length, times=times)}
    return state._replace(carry=state.carry._replace(shared=shared))


def test_logits_are_of_mixed_diffused_features():
    """Composed by hand from the networks and the definition of the noise."""
    state, made, use = noisy_state(), without_augmentation(), 1
    shared, here = state.carry.shared, context(state, case().batch(0))
    images = jax.random.uniform(jax.random.key(5), (4, 8, 8, 1), minval=-1.0)
    logits = jax.jit(lambda x: projected_gan.logits(made, state.params, here, use, x))(images)

    @jax.jit
    def by_hand(images):
        color = jnp.repeat(jax.image.resize(images, (4, 128, 128, 1), "linear"), 3, axis=-1)
        levels = made.features.apply({"params": shared["features"]}, color)
        abar = instance_noise.alpha_bars(made.noise, shared["noise"].length)
        seen = []
        for i, level in enumerate(levels):
            key = jax.random.fold_in(jax.random.fold_in(here.key, use), i)
            key_t, key_n = jax.random.split(key)
            shape = (4, 1, 1, level.shape[-1])
            t = shared["noise"].times[jax.random.randint(key_t, shape, 0, 64)]
            noise = 0.5 * jax.random.normal(key_n, level.shape)
            seen.append(jnp.sqrt(abar[t]) * level + jnp.sqrt(1 - abar[t]) * noise)
        mixed = made.mixing.apply({"params": shared["mixing"]}, seen)
        plain = made.mixing.apply({"params": shared["mixing"]}, levels)
        disc = {"params": state.params["disc"]}
        return [made.discriminator.apply(disc, x, mutable=BATCH_STATS)[0] for x in (mixed, plain)]

    expected, without_noise = by_hand(images)
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)
    assert not np.allclose(logits, without_noise, atol=1e-2)


def test_both_players_see_augmented_images(monkeypatch):
    seen = []

    def recorded(how, key, *images):
        seen.append((*how, images[0].shape))
        return images

    monkeypatch.setattr("ddgan_jax.methods.augmentation.augment", recorded)
    method, state = build_method(tiny.projected_gan_config(), (8, 8, 1)), case().start
    for phase in method.phases:
        jax.eval_shape(phase.loss, state.params, context(state, case().batch(0)))
    assert seen == [(1.0, 0.125, 0.5, (tiny.BATCH, 8, 8, 1))] * 3


def test_losses_are_hinge_losses_of_all_logits():
    made = without_augmentation()
    state, batch = case().start, case().batch(0)
    here = context(state, batch)

    @jax.jit
    def values(params):
        key = jax.random.fold_in(here.key, 0)
        fake, _ = projected_gan.fake_images(made, params["gen"], key, tiny.BATCH)
        real = made.space.training_batch(here)
        d_fake = projected_gan.logits(made, params, here, 2, fake)
        d_real = projected_gan.logits(made, params, here, 1, real)
        found = projected_gan.gen_loss(made, params, here)[0]
        return d_real, d_fake, found, projected_gan.disc_loss(made, params, here)[0]

    d_real, d_fake, gen, disc = map(np.asarray, values(state.params))
    assert d_real.shape == d_fake.shape == (tiny.BATCH, 4)
    assert gen == pytest.approx(-d_fake.mean(), rel=1e-4, abs=1e-5)
    hinge = np.maximum(1 - d_real, 0).mean() + np.maximum(1 + d_fake, 0).mean()
    assert disc == pytest.approx(hinge, rel=1e-4)


def test_random_weights_are_the_same_for_every_seed():
    carry_init = jax.jit(case().method.carry_init)
    one, other = (carry_init(jax.random.key(seed)).shared for seed in (1, 2))
    for name in ("mixing", "features"):
        pairs = zip(jax.tree.leaves(one[name]), jax.tree.leaves(other[name]), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)


def test_every_channel_has_a_time_of_its_own():
    settings = instance_noise.InstanceNoise(noise_std=0.0, noisy="growing")
    state = instance_noise.init(settings, jax.random.key(0))
    times = jnp.arange(instance_noise.LIST_SIZE, dtype=jnp.int32)
    state = state._replace(length=jnp.int32(1000), times=times)
    x = jnp.ones((8, 2, 2, 16))
    y = instance_noise.diffuse_channels(settings, state, jax.random.key(1), x)
    assert np.array_equal(y, np.broadcast_to(y[:, :1, :1], y.shape))
    assert len(np.unique(y[0, 0, 0])) > 8 and len(np.unique(y[:, 0, 0, 0])) > 4


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("classes", 10, "config.classes is 10; 0 with config.method = 'projected_gan'"),
        ("features.size", 130, "config.features.size is 130; a multiple of 32"),
        ("features.size", 64, "config.features.size is 64"),
        ("features.network", "vgg", "config.features.network is 'vgg'"),
        ("gen.network", "resblock", "config.gen.network is 'resblock'"),
        ("features.sizze", 256, "config.features.sizze is unknown; did you mean 'features.size'?"),
        ("dics", ConfigDict({"network": "mlp"}), "config.dics.network is unknown; did you mean"),
        ("instance_noise.noisy", "all", "config.instance_noise.noisy is 'all'"),
    ],
)
def test_what_does_not_fit_is_one_line(field, value, words):
    config = tiny.projected_gan_config()
    section, _, name = field.rpartition(".")
    (config[section] if section else config)[name] = value
    with pytest.raises(UserError) as error:
        build_method(validate(config), (8, 8, 1))
    assert words in str(error.value) and "\n" not in str(error.value)


def test_images_of_other_shapes_are_refused():
    config = tiny.projected_gan_config()
    for shape, words in (
        ((8, 8, 2), "config.data.channels"),
        ((12, 12, 1), "square images of 8x8, 16x16, 32x32, ... are needed"),
        ((2048, 2048, 1), "images of at most 1024x1024 pixels, not 2048x2048"),
        ((2,), "does not take data of shape 2"),
    ):
        with pytest.raises(UserError, match=words):
            build_method(config, shape)
