"""Training with a generator of styles whose mapping and synthesis are known in closed form."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_methods import gan_config, stylegan2_config

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.random import sample_keys
from ddgan_jax.core.types import Carry, Context
from ddgan_jax.diffusion.instance_noise import InstanceNoise
from ddgan_jax.inference.mixing import style_mixing
from ddgan_jax.inference.sampling import truncated
from ddgan_jax.methods import build_method, styles
from ddgan_jax.methods.diffusion_gan import make_diffusion_gan
from ddgan_jax.methods.entry import Lazy, Penalties, Turns
from ddgan_jax.methods.gan import GAN, make_gan
from ddgan_jax.methods.styles import StyleParts
from ddgan_jax.spaces.pixels import pixels

SHAPE, COUNT, LAYERS = (2, 2, 1), 6, 3


class Sums:
    """w = a z + label; pixel = sum_l 10^l w_l0 + b w_00^2 + noise of the only layer."""

    num_layers, noise_sizes = LAYERS, (2,)

    def init(self, key, z, labels):
        del key, z, labels
        return {"params": {"a": jnp.float32(1), "b": jnp.float32(0)}}

    def apply(self, variables, *args, method):
        w = variables["params"]
        if method == "map":
            z, labels = args
            return w["a"] * z + labels[:, None].astype(jnp.float32)
        ws, noise = args
        value = ws[:, :, 0] @ jnp.array([1.0, 10.0, 100.0]) + w["b"] * ws[:, 0, 0] ** 2
        return value[:, None, None, None] + jnp.broadcast_to(noise[0], (len(ws), 2, 2))[..., None]


class Mean:
    def init(self, key, x, t, other):
        return {"params": {"c": jnp.float32(1)}}

    def apply(self, variables, x, t, other):
        return variables["params"]["c"] * jnp.mean(x, axis=(1, 2, 3))


PARTS = StyleParts(Sums(), pixels(SHAPE), latent_size=2, path_weight=2.0)


def gan_of(parts, make=make_gan, turns=None, **options):
    whole = GAN(None, Mean(), parts.space, parts.latent_size, parts.classes, styles=parts)
    return make(whole, Penalties(0.2, 4), turns=turns or Turns(), **options)


def start(method):
    image = np.random.default_rng(0).integers(0, 256, (COUNT, *SHAPE), np.uint8)
    batch = {"image": jnp.asarray(image), "label": jnp.arange(COUNT, dtype=jnp.int32) % 2}
    carry = method.carry_init(jax.random.key(1))
    return method.init(jax.random.key(0)), Context(
        batch, jax.random.key(2), jnp.int32(0), carry, ()
    )


def test_style_mixing_changes_the_later_layers_of_all_images():
    labels, params = jnp.zeros(COUNT, jnp.int32), Sums().init(None, None, None)["params"]
    cuts = set()
    for seed in range(40):
        key = jax.random.key(seed)
        plain, w, _ = styles._draw(PARTS, params, key, labels)
        ws, first, _ = styles._draw(PARTS._replace(mixing=0.5), params, key, labels)
        np.testing.assert_array_equal(w, first)
        same = np.asarray(ws == plain).all(axis=(0, 2))
        cut = int(same.sum())
        assert same[:cut].all() and not (np.asarray(ws == plain)[:, cut:]).any()
        cuts.add(cut)
    assert cuts == {1, 2, 3}  # 3: not mixed


def test_path_lengths():
    """d pixel / d w_l0 is 10^l for all four pixels; the direction is the sum of n."""
    ws = jnp.zeros((COUNT, LAYERS, 2))
    params = Sums().init(None, None, None)["params"]
    noise = [jnp.zeros((2, 2))]
    direction = jax.random.normal(jax.random.key(0), (COUNT, *SHAPE))
    found = styles.lengths_along(
        lambda ws: styles._synthesize(PARTS, params, ws, noise), ws, direction
    )
    slope = np.abs(np.asarray(direction).sum(axis=(1, 2, 3)))
    expected = slope * np.sqrt((1 + 10**2 + 100**2) / 3) / np.sqrt(2 * 2)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_path_penalty_is_against_the_moving_average_that_has_seen_the_lengths():
    lengths = jnp.array([1.0, 3.0])
    penalty, average = styles.path_penalty(PARTS._replace(path_decay=0.25), lengths, 4.0)
    assert float(average) == 4 + 0.25 * (2 - 4)
    assert float(penalty) == 2 * np.mean([(1 - 3.5) ** 2, (3 - 3.5) ** 2])


def test_the_regularizer_is_on_half_of_the_batch_and_moves_the_average():
    method = gan_of(PARTS)
    params, context = start(method)
    gen = next(phase for phase in method.phases if phase.role == "gen")
    value, aux = gen.regularizer(params, context)
    lengths = aux.outputs["path_lengths"]
    assert lengths.shape == (COUNT // 2,) and gen.regularize_every == 4
    expected, average = styles.path_penalty(PARTS, lengths, 0.0)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    w = jnp.ones((COUNT, 2))
    carry = method.carry_update(context.carry, {"gen": {"w": w, **aux.outputs}}, context)
    np.testing.assert_allclose(carry.shared["styles"].path_length, average, rtol=1e-6)


def test_the_average_of_w_moves_in_the_turn_of_each_player():
    method = gan_of(PARTS._replace(average_decay=0.75))
    _, context = start(method)
    outputs = {"gen": {"w": jnp.ones((COUNT, 2))}, "disc": {"w": jnp.full((COUNT, 2), 3.0)}}
    carry = method.carry_update(context.carry, outputs, context)
    expected = (0 * 0.75 + 0.25 * 1) * 0.75 + 0.25 * 3
    np.testing.assert_allclose(carry.shared["styles"].w_average, expected, rtol=1e-6)
    assert method.learned(carry)["styles"]["w_average"] is carry.shared["styles"].w_average


def test_turns():
    for make, options in [(make_gan, {}), (make_diffusion_gan, {"noise": InstanceNoise()})]:
        method = gan_of(PARTS, make, Turns(2, True, Lazy(True, True), 5), **options)
        assert [phase.role for phase in method.phases] == ["gen", "disc", "disc"]
        assert all(phase.own_step for phase in method.phases)
        assert [phase.regularize_every for phase in method.phases] == [5, 4, 4]
        plain = gan_of(PARTS, make, Turns(2, path_every=5), **options)
        assert [phase.role for phase in plain.phases] == ["disc", "disc", "gen"]
        params, context = start(method)
        for scaled, phase in zip(method.phases, [plain.phases[i] for i in (2, 0, 1)], strict=True):
            value, _ = scaled.regularizer(params, context)
            once, _ = phase.regularizer(params, context)
            np.testing.assert_allclose(value, phase.regularize_every * once, rtol=1e-6)


def test_diffusion_gan_keeps_both_states():
    method = gan_of(PARTS, make_diffusion_gan, noise=InstanceNoise(every=1))
    params, context = start(method)
    outputs = {phase.role: phase.loss(params, context)[1].outputs for phase in method.phases}
    carry = method.carry_update(context.carry, outputs, context)
    assert jax.tree.structure(carry) == jax.tree.structure(context.carry)
    assert float(carry.shared["noise"].p) != 0 or float(carry.shared["noise"].signs) == 0
    assert np.abs(carry.shared["styles"].w_average).max() > 0


def sampling_of(parts, average):
    method = gan_of(parts)
    params, context = start(method)
    carry = Carry((), {"styles": context.carry.shared["styles"]._replace(w_average=average)})
    return method, params | method.learned(carry)


def test_truncation():
    """psi 0 is the image of the average, psi 1 changes nothing, 0.5 is half-way (b is 0)."""
    average = jnp.array([2.0, 5.0])
    method, params = sampling_of(PARTS._replace(random_noise=False), average)
    keys = sample_keys(jax.random.key(0), 0, 4)

    def images(psi, cutoff=None):
        return np.asarray(truncated(method, psi, cutoff).sample(params, keys, ()))

    plain, noise = np.asarray(method.sample(params, keys, ())), params["styles"]["noise"][0]
    np.testing.assert_array_equal(images(1.0), plain)
    of_average = np.broadcast_to(2 * 111 + np.asarray(noise)[None, :, :, None], plain.shape)
    np.testing.assert_allclose(images(0.0), of_average, rtol=1e-5)
    np.testing.assert_allclose(images(0.5), (plain + of_average) / 2, rtol=1e-5)
    w = (plain - np.asarray(noise)[None, :, :, None]) / 111
    np.testing.assert_allclose(
        images(0.0, 1), 2 + 110 * w + np.asarray(noise)[None, :, :, None], rtol=1e-4
    )
    for psi, cutoff in [(-1, None), (2.5, None), (0.7, 0)]:
        with pytest.raises(UserError, match="is needed"):
            truncated(method, psi, cutoff)


def test_noise_of_samples_is_their_own_or_one_for_all():
    for random in (True, False):
        method, params = sampling_of(PARTS._replace(random_noise=random), jnp.zeros(2))
        images = np.asarray(method.sample(params, sample_keys(jax.random.key(0), 0, 3), ()))
        spread = images - images.mean(axis=(1, 2, 3), keepdims=True)
        assert (np.ptp(spread, axis=0).max() > 0.1) == random


def test_classes_reach_the_mapping():
    method, params = sampling_of(PARTS._replace(classes=2, random_noise=False), jnp.zeros(2))
    keys = sample_keys(jax.random.key(0), 0, 3)
    zero, one = (method.sample(params, keys, (), jnp.full(3, i, jnp.int32)) for i in (0, 1))
    np.testing.assert_allclose(one - zero, 111, rtol=1e-4)


def test_style_mixing_table():
    """Coarse layers of the row, fine layers of the column, one noise for all."""
    method, params = sampling_of(PARTS, jnp.zeros(2))
    model = SimpleNamespace(method=method, params=params, frozen=(), config=None)
    table = style_mixing(model, 2, 3)
    assert table.shape == (3, 4, *SHAPE) and (table[0, 0] == -1).all()
    noise = np.asarray(params["styles"]["noise"][0])[..., None]
    w_rows, w_columns = (table[1:, 0] - noise) / 111, (table[0, 1:] - noise) / 111
    expected = w_rows[:, None] + 110 * w_columns[None] + noise
    np.testing.assert_allclose(table[1:, 1:], expected, rtol=1e-3, atol=1e-3)


def test_what_needs_styles_is_refused_without_them():
    config = gan_config()
    with pytest.raises(UserError, match="generators with styles"):
        truncated(build_method(config, (4, 4, 1)), 0.7)
    config.path_length.weight = 2.0
    with pytest.raises(UserError, match=r"path_length.weight is 2.0; 0 with config.gen.network"):
        build_method(config, (4, 4, 1))
    config = stylegan2_config()
    config.noise = "image"
    with pytest.raises(UserError, match=r"config.noise is 'image'; 'latent' with"):
        build_method(config, (8, 8, 1))
