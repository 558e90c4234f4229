"""GAN and Diffusion-GAN with networks whose results are known in closed form."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_methods as tiny
from affine_players import BATCH, MLP, R1, SHAPE, Affine, as_floats, softplus, start

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.optimizers import make_optimizers
from ddgan_jax.core.random import sample_keys
from ddgan_jax.core.train_step import create_state, train_step, which_regularize
from ddgan_jax.core.types import Carry
from ddgan_jax.diffusion import instance_noise
from ddgan_jax.diffusion.instance_noise import InstanceNoise
from ddgan_jax.methods import build_method
from ddgan_jax.methods.diffusion_gan import make_diffusion_gan
from ddgan_jax.methods.entry import Penalties, Turns
from ddgan_jax.methods.gan import GAN, make_gan
from ddgan_jax.presets import diffusion_gan, difgan, gan
from ddgan_jax.spaces.pixels import pixels

PARTS = GAN(Affine(), Affine(), pixels(SHAPE), latent_size=3)
HIGHDIM = PARTS._replace(latent_size=None)


def test_the_numbers_of_numpy_that_saved_models_depend_on():
    """The canvas of latent GANs, flips and the start of power iterations are drawn again."""
    found = np.random.default_rng(0).standard_normal((2, 2), np.float32)
    recorded = [[1.1176220, -1.3871249], [-0.4265716, -0.8035873]]
    np.testing.assert_allclose(found, recorded, atol=1e-6)
    coins = np.random.default_rng((0, 1, 2)).random(6) < 0.5
    assert coins.tolist() == [False, True, False, True, True, True]
    doubles = np.random.default_rng(0).standard_normal(3)
    np.testing.assert_allclose(
        doubles, [0.1257302210933933, -0.1321048632913019, 0.6404226504432821], atol=1e-12
    )


def test_low_dimensional_noise_is_a_latent_on_one_canvas():
    method = make_gan(PARTS, R1)
    params, _ = start(method)
    keys = sample_keys(jax.random.key(0), 0, 5)
    images = np.asarray(method.sample(params, keys, ()))
    canvas = images - images.mean(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(canvas, np.broadcast_to(canvas[:1], canvas.shape), atol=1e-6)
    assert np.ptp(canvas[0]) > 0.1  # the canvas tells positions apart
    assert len(np.unique(images.mean(axis=(1, 2, 3)).round(4))) == 5
    assert method.nfe == 1


def test_high_dimensional_noise_has_the_size_of_the_image():
    method = make_gan(HIGHDIM, R1)
    params, _ = start(method)
    keys = sample_keys(jax.random.key(0), 0, 20_000)
    noise = (np.asarray(method.sample(params, keys, ())) - 2) / 0.5  # t + 1 = mean z = 1
    covariance = np.cov(noise.reshape(len(noise), -1).T)
    np.testing.assert_allclose(covariance, np.eye(4), atol=0.05)
    assert abs(noise.mean()) < 0.02


def test_gan_losses():
    method = make_gan(PARTS, R1)
    params, context = start(method)
    disc, gen = method.phases
    loss, aux = disc.loss(params, context)
    d_real = 0.3 * as_floats(context).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(aux.outputs["real"], d_real, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(aux.metrics["real"], d_real.mean(), rtol=1e-4, atol=1e-5)
    # The fake: half the canvas, 1 and the mean of z on all of its 4 pixels.
    z = jax.random.normal(jax.random.split(jax.random.fold_in(context.key, 0))[0], (BATCH, 3))
    canvas = np.random.default_rng(0).standard_normal(SHAPE, np.float32)
    d_fake = 0.3 * (0.5 * canvas.sum() + 4 * (1 + np.asarray(z).mean(axis=1)))
    np.testing.assert_allclose(aux.metrics["fake"], d_fake.mean(), rtol=1e-5)
    expected = softplus(-d_real).mean() + softplus(d_fake).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(gen.loss(params, context)[0], softplus(-d_fake).mean(), rtol=1e-5)
    # With b = 0 the discriminator knows nothing.
    ignorant = {**params, "disc": {"a": jnp.float32(0), "b": jnp.float32(0)}}
    np.testing.assert_allclose(disc.loss(ignorant, context)[0], 2 * np.log(2), rtol=1e-6)
    np.testing.assert_allclose(gen.loss(ignorant, context)[0], np.log(2), rtol=1e-6)


def test_gan_r1_is_that_of_a_linear_discriminator():
    method = make_gan(PARTS, R1)
    params, context = start(method)
    value, aux = method.phases[0].regularizer(params, context)
    np.testing.assert_allclose(aux.metrics["r1"], 4 * 0.3**2, rtol=1e-5)
    np.testing.assert_allclose(value, 0.5 * 0.2 * 4 * 0.3**2, rtol=1e-5)
    assert make_gan(PARTS, Penalties(0.0, 1)).phases[0].regularizer is None


@pytest.mark.parametrize(
    "make", [make_gan, functools.partial(make_diffusion_gan, noise=InstanceNoise())]
)
def test_every_step_of_the_discriminator_sees_images_of_its_own(make):
    """Algorithm 3 of the report on DifGAN: k minibatches, then one step of the generator."""
    method, once = make(PARTS, R1, turns=Turns(disc_steps=2)), make(PARTS, R1)
    params, context = start(method)
    assert [phase.role for phase in method.phases] == ["disc", "disc", "gen"]
    for i, phase in enumerate(method.phases):
        batch = {name: value[min(i, 2) % 2 :: 2] for name, value in context.batch.items()}
        part = context._replace(batch=batch)
        of_one = once.phases[phase.role == "gen"]
        for ours, theirs in (
            (phase.loss, of_one.loss),
            *([(phase.regularizer, of_one.regularizer)] if phase.regularizer else []),
        ):
            (value, aux), (expected, other) = ours(params, context), theirs(params, part)
            np.testing.assert_allclose(value, expected, rtol=1e-6)
            for one, another in zip(jax.tree.leaves(aux), jax.tree.leaves(other), strict=True):
                np.testing.assert_allclose(one, another, rtol=1e-6)
    assert method.phases[0].regularize_every == once.phases[0].regularize_every


def test_k_is_a_field_and_divides_the_batch():
    config = tiny.gan_config()
    config.train.batch_size = 8
    config.adversarial.disc_steps = 4
    assert len(build_method(config, (4, 4, 1)).phases) == 5
    config.adversarial.disc_steps = 3
    with pytest.raises(UserError, match=r"adversarial.disc_steps is 3; a divisor of .* = 8"):
        build_method(config, (4, 4, 1))


@pytest.mark.slow
def test_a_train_step_with_k_steps_of_the_discriminator():
    """The discriminator moves k times with its own Adam, the generator once."""
    config = tiny.diffusion_gan_config()
    config.adversarial.disc_steps = 2
    case = tiny.Case(lambda: config, (4, 4, 1))
    state, metrics = case.step(case.start)
    counts = {role: int(state.opt_state[role][0].count) for role in ("disc", "gen")}
    assert counts == {"disc": 2, "gen": 1} and int(state.step) == 1
    assert all(np.isfinite(value) for value in metrics.values())


def test_diffusion_gan_shows_the_discriminator_diffused_images():
    """Real and generated ones, each with noise of its own; to the generator's loss as well."""
    settings = InstanceNoise(t_min=500)
    method = make_diffusion_gan(HIGHDIM, R1, settings)
    params, context = start(method)

    def d_of(use, x):
        key = jax.random.fold_in(context.key, use)
        y, t = instance_noise.diffuse(settings, context.carry.shared, key, x)
        assert len(np.unique(t)) > 1
        return 0.3 * np.asarray(y).sum(axis=(1, 2, 3)) - np.asarray(t) / 100

    noise = jax.random.normal(
        jax.random.split(jax.random.fold_in(context.key, 0))[0], (BATCH, *SHAPE)
    )
    real = d_of(1, jnp.asarray(as_floats(context), jnp.float32))
    fake = d_of(2, 0.5 * noise + 2)  # G's step t + 1 = 1, and its constant latent is 1
    disc, gen = method.phases
    loss, aux = disc.loss(params, context)
    np.testing.assert_allclose(aux.outputs["real"], real, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(aux.metrics["fake"], fake.mean(), rtol=1e-4)
    expected = softplus(-real).mean() + softplus(fake).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-4)
    np.testing.assert_allclose(gen.loss(params, context)[0], softplus(-fake).mean(), rtol=1e-4)
    assert float(aux.metrics["p"]) == 0 and float(aux.metrics["chain_length"]) == 500


def test_diffusion_gan_takes_r1_at_the_clean_image_through_the_diffusion():
    """R1 with dD/dx = b sqrt(alpha_bar_t), which depends on each image's t."""
    settings = InstanceNoise(t_min=900)
    method = make_diffusion_gan(PARTS, R1, settings)
    params, context = start(method)
    _, aux = method.phases[0].regularizer(params, context)
    state, x = context.carry.shared, jnp.asarray(as_floats(context), jnp.float32)
    _, t = instance_noise.diffuse(settings, state, jax.random.fold_in(context.key, 1), x)
    alpha_bar = np.cumprod(1 - np.linspace(1e-4, 0.02, 900))[np.maximum(np.asarray(t), 1) - 1]
    alpha_bar = np.where(np.asarray(t) == 0, 1, alpha_bar)
    np.testing.assert_allclose(aux.metrics["r1"], np.mean(4 * 0.3**2 * alpha_bar), rtol=1e-4)


def test_diffusion_gan_generator_learns_through_the_diffusion():
    """The gradient of its loss in `a`, against finite differences of the same draw."""
    method = make_diffusion_gan(PARTS, R1, InstanceNoise(t_min=300))
    params, context = start(method)

    def loss(a):
        return method.phases[1].loss({**params, "gen": {**params["gen"], "a": a}}, context)[0]

    slope = (loss(jnp.float32(0.6)) - loss(jnp.float32(0.4))) / 0.2
    np.testing.assert_allclose(jax.grad(loss)(jnp.float32(0.5)), slope, rtol=2e-2)
    assert abs(float(slope)) > 1e-3


def test_diffusion_gan_moves_p_by_what_the_discriminator_said_to_real_images():
    settings = InstanceNoise(images=100, every=1)
    method = make_diffusion_gan(PARTS, R1, settings)
    _, context = start(method)
    half = Carry((), context.carry.shared._replace(p=jnp.float32(0.5)))
    for sign, expected in ((1.0, 0.56), (-1.0, 0.44)):
        outputs = {"disc": {"real": jnp.full(BATCH, sign)}, "gen": None}
        after = method.carry_update(half, outputs, context)
        np.testing.assert_allclose(after.shared.p, expected, rtol=1e-6)


@pytest.mark.slow
def test_diffusion_gan_changes_its_chain_within_one_compiled_train_step():
    config = diffusion_gan(noise="latent", latent_size=3, **MLP)
    config.instance_noise.target = -1.0  # so that any discriminator is too sure
    config.instance_noise.every = 2
    config.instance_noise.images = 64
    method = build_method(config, SHAPE)
    optimizers = make_optimizers(config.optim, ("disc", "gen"), 100, 10)
    traces = []

    @jax.jit
    def step(state, batch):
        traces.append(1)
        return train_step(
            state,
            batch,
            (),
            method=method,
            optimizers=optimizers,
            ema_decay=0.9,
            regularize=which_regularize(method, 1),
        )

    create = jax.jit(lambda key: create_state(key, method, optimizers))
    state = create(jax.random.key(0))
    image = np.random.default_rng(0).integers(0, 256, (8, *SHAPE), np.uint8)
    lengths = []
    for _ in range(8):
        state, metrics = step(state, {"image": image, "label": np.zeros(8, np.int32)})
        lengths.append(int(state.carry.shared.length))
    assert lengths == [10, 258, 258, 505, 505, 752, 752, 1000]
    assert int(metrics["disc/chain_length"]) == 752  # what this step's images saw
    assert traces == [1]


def changed(config, **fields):
    for field, new in fields.items():
        *parents, last = field.split("__")
        section = config
        for parent in parents:
            section = section[parent]
        with config.ignore_type():  # a config file may write anything
            section[last] = new
    return config


LATENT = dict(noise="latent", latent_size=3, **MLP)


@pytest.mark.parametrize(
    ("config", "word"),
    [
        (changed(gan(**LATENT), noise="both"), "config.noise is 'both'"),
        (changed(diffusion_gan(**LATENT), instance_noise__timesteps="late"), "'late'"),
        (changed(diffusion_gan(**LATENT), instance_noise__t_min=1), "t_min is 1"),
        (changed(diffusion_gan(**LATENT), instance_noise__t_max=9), "t_max = 9 is needed"),
        (changed(diffusion_gan(**LATENT), instance_noise__beta_max=1.0), "beta_max is 1.0"),
        (changed(diffusion_gan(**LATENT), instance_noise__target="x"), "target is 'x'"),
        (changed(difgan(num_steps=2, **MLP), difgan__weights_gen=(1.0,)), "weights_disc is"),
        (changed(difgan(num_steps=1, **MLP), difgan__weights_gen=(0.0,)), "weights_gen is"),
    ],
)
def test_mistakes_are_one_line(config, word):
    with pytest.raises(UserError, match=word.replace("(", r"\(")) as caught:
        build_method(config, SHAPE)
    assert "\n" not in str(caught.value) and "is needed" in str(caught.value)


# --- as they are used for images ------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "make_config",
    # Networks as in GAN and DifGAN, whose losses are tested with MLPs.
    [tiny.diffusion_gan_config, tiny.ddpm_config],
    ids=["diffusion_gan", "ddpm"],
)
def test_with_convolutions(make_config):
    """NCSN++ without x_{t+1} as an input, and ResBlock D with its R1: all layers learn."""
    case = tiny.Case(functools.partial(make_config, tiny.conv_config), (4, 4, 1))
    state, metrics = case.step(case.start)
    assert all(np.isfinite(value) for value in metrics.values())
    assert ("disc/r1" in metrics) == ("disc" in state.params)
    for _ in range(2):  # what stands before layers that begin near zero moves last
        state, _ = case.step(state, like=0)
    for role, before in case.start.params.items():
        moved = jax.tree.map(lambda a, b: np.any(a != b), before, state.params[role])
        paths = jax.tree.leaves_with_path(moved)
        still = [jax.tree_util.keystr(path) for path, yes in paths if not yes]
        # The bias of attention's keys has no effect, and no gradient.
        assert all(name.endswith("['k']['bias']") for name in still), (role, still)
    images = jax.jit(case.method.sample)(state.params, sample_keys(jax.random.key(1), 0, 4), ())
    assert images.shape == (4, 4, 4, 1) and np.isfinite(images).all()


@pytest.mark.slow
def test_adaptive_noise_counts_the_images_of_all_turns():
    """Two turns of the discriminator see all B images of a step, so p moves by every B / images."""
    config = tiny.diffusion_gan_config()
    config.adversarial.disc_steps = 2
    config.instance_noise.every, config.instance_noise.images = 3, 10 * tiny.BATCH
    config.instance_noise.target = -1.0  # p rises whenever a logit is positive
    config.instance_noise.t_min = 2
    case = tiny.Case(lambda: config, SHAPE)
    states, _ = case.run(case.start, 3)
    assert [float(s.carry.shared.p) for s in states] == pytest.approx([0, 0, 0, 0.3], abs=1e-6)
