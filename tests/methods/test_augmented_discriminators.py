"""Augmentation in the methods: what the discriminators are shown, and when nothing changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_methods as tiny

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Context
from ddgan_jax.diffusion import processes, schedules
from ddgan_jax.diffusion.haar import idwt
from ddgan_jax.diffusion.instance_noise import InstanceNoise
from ddgan_jax.methods import METHODS, augmentation, build_method
from ddgan_jax.methods import ddgan as ddgan_method
from ddgan_jax.methods.augmentation import FAKE, REAL
from ddgan_jax.methods.ddgan import DDGAN, make_ddgan
from ddgan_jax.methods.diffusion_gan import make_diffusion_gan
from ddgan_jax.methods.difgan import make_difgan
from ddgan_jax.methods.entry import Penalties
from ddgan_jax.methods.gan import GAN, make_gan
from ddgan_jax.spaces import build_space
from ddgan_jax.spaces.pixels import pixels

SHAPE, BATCH = (8, 8, 1), 16
METHODS_WITH_IT = ("ddgan", "gan", "diffusion_gan", "difgan", "projected_gan")
NONE = Penalties(0.0, 1)


class Constant:
    """G = a on every pixel, and a D that keeps what it is shown: b sum x."""

    def __init__(self):
        self.shown = []

    def init(self, key, *inputs):
        del key, inputs
        return {"params": {"a": jnp.float32(0.5), "b": jnp.float32(0.01)}}

    def apply(self, variables, x, t, other, train=False, rngs=None):
        del t, train, rngs
        w = variables["params"]
        if other.ndim == 2:
            return jnp.broadcast_to(w["a"], x.shape)
        self.shown.append((x, other))
        return w["b"] * jnp.sum(x, axis=(1, 2, 3))


def context():
    batch = {
        "image": jnp.full((BATCH, *SHAPE), 255, jnp.uint8),
        "label": jnp.zeros(BATCH, jnp.int32),
    }
    return Context(batch, jax.random.key(2), jnp.int32(0), (), ())


def config_with(make=tiny.mlp_config, **strengths):
    config = make()
    config.augment.update(strengths)
    return config


def cutout(space=None, **strengths):
    config = config_with(**(strengths or {"cutout": 0.5}))
    config.space = {"kind": "pixels"}
    return augmentation.from_config(config, space or pixels(SHAPE))


def holes(x):
    return np.asarray(x[..., 0]) == 0


def ddgan_parts(network, augment):
    betas = schedules.variance_preserving_betas(2, 0.1, 20.0)
    process = processes.gaussian(betas)
    return DDGAN(network, network, process, pixels(SHAPE), latent_size=3, augment=augment)


def test_members_of_a_pair_are_changed_alike_and_real_and_fake_independently():
    network = Constant()
    parts = ddgan_parts(network, cutout())
    method = make_ddgan(parts, NONE)
    params = method.init(jax.random.key(0))
    network.shown.clear()
    for phase in method.phases:
        phase.loss(params, context())
    (real, fake, of_gen) = network.shown
    for x_t, x_next in network.shown:
        np.testing.assert_array_equal(holes(x_t), holes(x_next))
        assert holes(x_t).any(axis=(1, 2)).all() and len(np.unique(holes(x_t), axis=0)) > 5
    different = (holes(real[0]) != holes(fake[0])).any(axis=(1, 2))
    assert different.mean() > 0.7
    np.testing.assert_array_equal(holes(fake[0]), holes(of_gen[0]))  # of the same key here


@pytest.mark.parametrize("kind", ["gan", "diffusion_gan", "difgan"])
def test_single_images_are_changed_and_real_and_fake_independently(kind):
    network, penalties = Constant(), Penalties(0.1, 1, 0.1)
    gan = GAN(network, network, pixels(SHAPE), latent_size=3, augment=cutout())
    if kind == "gan":
        method = make_gan(gan, penalties)
    elif kind == "diffusion_gan":
        method = make_diffusion_gan(gan, penalties, InstanceNoise(noise_std=0.0))
    else:
        shared = dict(generator=network, discriminator=network, space=pixels(SHAPE))
        weights = dict(weights_disc=(1.0,), weights_gen=(1.0,))
        method = make_difgan(**shared, **weights, penalties=penalties, augment=cutout())
    params = method.init(jax.random.key(0))
    here = context()._replace(carry=method.carry_init(jax.random.key(1)))
    network.shown.clear()
    disc, gen = method.phases
    with jax.disable_jit():
        if kind == "difgan":  # its fake images are shown within a vmap
            real = cutout()(here, REAL, jnp.ones((BATCH, *SHAPE)))[0]
            fake = cutout()(here, FAKE, jnp.ones((BATCH, *SHAPE)))[0]
        else:
            disc.loss(params, here)
            real, fake = (x for x, _ in network.shown)
    assert (holes(real) != holes(fake)).any(axis=(1, 2)).mean() > 0.7
    # Hidden pixels have no gradient: R1 of D = b sum x counts the others.
    _, aux = disc.regularizer(params, here)
    if kind != "diffusion_gan":
        np.testing.assert_allclose(
            aux.metrics["r1"], 0.01**2 * np.mean(np.sum(~holes(real), axis=(1, 2))), rtol=1e-4
        )
        np.testing.assert_allclose(
            aux.metrics["r2"], 0.01**2 * np.mean(np.sum(~holes(fake), axis=(1, 2))), rtol=1e-4
        )

    def loss(a):
        return gen.loss({**params, "gen": {**params["gen"], "a": a}}, here)[0]

    slope = (loss(jnp.float32(0.6)) - loss(jnp.float32(0.4))) / 0.2
    np.testing.assert_allclose(jax.grad(loss)(jnp.float32(0.5)), slope, rtol=2e-2)
    assert abs(float(slope)) > 1e-3


def test_every_phase_and_step_has_draws_of_its_own():
    """The draws come from the key of a context, which is that of the step and the phase."""
    x, here = jnp.ones((BATCH, *SHAPE)), context()
    (one,) = cutout()(here, REAL, x)
    (other,) = cutout()(here._replace(key=jax.random.key(3)), REAL, x)
    assert (holes(one) != holes(other)).any(axis=(1, 2)).mean() > 0.7


def test_without_strengths_nothing_is_traced(monkeypatch):
    """The train step is the one of a config without the fields, bit for bit."""

    def never(*args):
        raise AssertionError

    monkeypatch.setattr(augmentation, "augment", never)
    for make in (tiny.mlp_config, tiny.gan_config, tiny.diffusion_gan_config, tiny.difgan_config):
        method = build_method(make(), SHAPE)
        params = jax.eval_shape(method.init, jax.random.key(0))
        carry = jax.eval_shape(method.carry_init, jax.random.key(0))
        for phase in method.phases:
            jax.eval_shape(phase.loss, params, context()._replace(carry=carry))
    parts = ddgan_method.parts_from_config(tiny.mlp_config(), SHAPE)
    assert parts.augment is augmentation.unchanged
    x = jnp.ones(3)
    assert parts.augment(context(), REAL, x)[0] is x


def test_the_fields_reach_the_losses_of_four_methods(monkeypatch):
    seen = []

    def recorded(how, key, *images):
        seen.append((how.color, how.translation, how.cutout, len(images)))
        return images

    monkeypatch.setattr(augmentation, "augment", recorded)
    for make in (tiny.mlp_config, tiny.gan_config, tiny.diffusion_gan_config, tiny.difgan_config):
        seen.clear()
        method = build_method(config_with(make, color=1.0, translation=0.125), SHAPE)
        params = jax.eval_shape(method.init, jax.random.key(0))
        carry = jax.eval_shape(method.carry_init, jax.random.key(0))
        here = context()._replace(carry=carry)
        for phase in method.phases:
            jax.eval_shape(phase.loss, params, here)
        pair = 2 if make is tiny.mlp_config else 1
        assert seen == [(1.0, 0.125, 0.0, pair)] * 3, make
        jax.eval_shape(method.phases[0].regularizer, params, here)
        assert len(seen) == 4
    owners = {name for name, entry in METHODS.items() if "augment.color" in entry.fields}
    assert owners == set(METHODS_WITH_IT)


def test_wavelet_space_is_augmented_as_images():
    config = config_with(tiny.wddgan_config, cutout=0.5)
    space = build_space(config, SHAPE)
    assert space.shape == (4, 4, 4)
    bands = space.encode(jnp.ones((BATCH, *SHAPE)), ())
    (changed,) = augmentation.from_config(config, space)(context(), REAL, bands)
    (expected,) = cutout()(context(), REAL, jnp.ones((BATCH, *SHAPE)))
    np.testing.assert_allclose(2 * idwt(changed), expected, atol=1e-6)


def test_mistakes_are_one_line():
    for config, shape, words in (
        (config_with(cutout=0.5), (2,), "augment.cutout is 0.5; 0 for points is needed"),
        (
            config_with(tiny.lddgan_config, color=1.0),
            (4, 4, 1),
            "0 with config.space.kind = 'latent'",
        ),
        (config_with(translation=2.0), SHAPE, r"augment.translation is 2.0; a number in \[0, 1\]"),
    ):
        with pytest.raises(UserError, match=words):
            build_method(config, shape)
