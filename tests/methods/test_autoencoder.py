"""The method `autoencoder`: its losses, the adaptive weight, the delayed start, KL and codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddgan_jax.core import losses
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Carry, Context
from ddgan_jax.methods import autoencoder as method_file
from ddgan_jax.methods import build_method, validate
from ddgan_jax.methods.autoencoder import (
    adaptive_weight,
    codes_loss,
    straight_through,
    with_last_kernel,
)
from ddgan_jax.networks.patchgan import PatchDiscriminator
from ddgan_jax.presets import autoencoder

SHAPE = (4, 4, 1)
MLP = dict(network="mlp", width=8, blocks=1, latent_shape=(2, 2, 2), gaussian=True)
CONV = dict(
    network="conv",
    width=4,
    multipliers=(1, 1),
    blocks=1,
    attention=(),
    latent_channels=2,
    gaussian=False,
    codes=3,
)


def config_of(network=MLP, start=0, **weights):
    config = autoencoder(
        network=network,
        disc=dict(network="patch", width=4, layers=0),
        lpips=0.0,
        adversarial=0.5,
        adversarial_start=start,
        learning_rate=1e-3,
    )
    for name, value in weights.items():
        config.loss[name] = value
    return config


def context(step=0, shape=SHAPE, frozen=()):
    rng = np.random.default_rng(0)
    batch = {"image": jnp.asarray(rng.integers(0, 256, (4, *shape), np.uint8))}
    return Context(batch, jax.random.key(1), jnp.int32(step), Carry(), frozen)


def made(config, shape=SHAPE):
    method = build_method(config, shape)
    return method, jax.jit(method.init)(jax.random.key(0))


def loss_of(method, role, params, at):
    phase = {p.role: p.loss for p in method.phases}[role]

    def of(part):
        return phase({**params, role: part}, at)

    (loss, aux), grads = jax.jit(jax.value_and_grad(of, has_aux=True))(params[role])
    return float(loss), {k: float(v) for k, v in aux.metrics.items()}, grads


def test_adaptive_weight_of_a_linear_layer():
    """x' = h K: the gradient at K is h^T g, so the ratio of norms is known."""
    keys = jax.random.split(jax.random.key(0), 4)
    h, kernel = jax.random.normal(keys[0], (5, 3)), jax.random.normal(keys[1], (3, 2))
    rec, adv = jax.random.normal(keys[2], (5, 2)), jax.random.normal(keys[3], (5, 2))
    found = adaptive_weight(lambda k: h @ k, kernel, rec, adv)
    ratio = np.linalg.norm(h.T @ rec) / (np.linalg.norm(h.T @ adv) + 1e-4)
    np.testing.assert_allclose(found, ratio, rtol=1e-5)
    assert adaptive_weight(lambda k: h @ k, kernel, 1e6 * rec, 0 * adv) == 1e4


@pytest.mark.slow
def test_adaptive_weight_is_the_ratio_of_finite_differences():
    """The weight in the loss against finite differences in every entry of the last kernel."""
    method, params = made(config_of())
    at = context(step=1)
    _, metrics, _ = loss_of(method, "autoencoder", params, at)
    x = at.batch["image"].astype(jnp.float32) / 127.5 - 1
    net = params["autoencoder"]
    disc = PatchDiscriminator(width=4, layers=0)

    @jax.jit
    def terms(kernel):
        moved = {**params, "autoencoder": with_last_kernel(net, kernel)}
        latents = method.inversion.encode(moved, at.batch["image"], None)
        rebuilt = method.inversion.decode(moved, latents, None)
        judged = disc.apply({"params": params["disc"]}, rebuilt)
        return jnp.stack([jnp.abs(x - rebuilt).mean(), -jnp.mean(judged)])

    kernel = np.asarray(net["decoder"]["out"]["kernel"])
    gradients = np.zeros((2, *kernel.shape))
    for index in np.ndindex(*kernel.shape):
        step = np.zeros_like(kernel)
        step[index] = 1e-2
        gradients[(slice(None), *index)] = (terms(kernel + step) - terms(kernel - step)) / 2e-2
    rec, adv = (np.linalg.norm(g) for g in gradients)
    np.testing.assert_allclose(metrics["adaptive_weight"], 0.5 * rec / (adv + 1e-4), rtol=0.05)


@pytest.mark.slow
def test_the_game_begins_late():
    method, params = made(config_of(start=3))
    before, metrics, _ = loss_of(method, "autoencoder", params, context(step=2))
    assert metrics["adaptive_weight"] == 0
    np.testing.assert_allclose(before, metrics["l1"], rtol=1e-6)
    loss, _, grads = loss_of(method, "disc", params, context(step=2))
    assert loss == 0 and not any(np.any(g) for g in jax.tree.leaves(grads))

    after, metrics, _ = loss_of(method, "autoencoder", params, context(step=3))
    assert metrics["adaptive_weight"] > 0
    expected = metrics["l1"] + metrics["adaptive_weight"] * metrics["adversarial"]
    np.testing.assert_allclose(after, expected, rtol=1e-5)
    loss, _, grads = loss_of(method, "disc", params, context(step=3))
    assert loss > 0 and any(np.any(g) for g in jax.tree.leaves(grads))


def test_without_kl_the_log_variance_has_no_effect():
    """It changes neither the loss nor a gradient."""
    method, params = made(config_of(start=10))
    loss, metrics, grads = loss_of(method, "autoencoder", params, context())
    assert "kl" not in metrics
    out = grads["encoder"]["out"]["kernel"].reshape(8, 4, 2, 2)  # [in, position, mean or not, c]
    assert np.any(out[:, :, 0]) and not np.any(out[:, :, 1])
    with_kl, params = made(config_of(start=10, kl=0.1))
    other, metrics, grads = loss_of(with_kl, "autoencoder", params, context())
    np.testing.assert_allclose(other, metrics["l1"] + 0.1 * metrics["kl"], rtol=1e-5)
    assert other != loss
    assert np.any(grads["encoder"]["out"]["kernel"].reshape(8, 4, 2, 2)[:, :, 1])


def test_kl_to_the_standard_normal():
    zero = jnp.zeros((2, 3))
    assert losses.gaussian_kl(zero, zero) == 0
    expected = 3 * 0.5 * (4 + np.e - 1 - 1)
    np.testing.assert_allclose(losses.gaussian_kl(zero + 2, zero + 1), expected, rtol=1e-6)


def test_hinge_loss():
    assert 0.5 * losses.hinge_disc_loss(jnp.zeros(4), jnp.zeros(4)) == 1
    assert 0.5 * losses.hinge_disc_loss(jnp.array([2.0]), jnp.array([-3.0])) == 0
    np.testing.assert_allclose(
        0.5 * losses.hinge_disc_loss(jnp.array([0.5]), jnp.array([0.5])), 1.0
    )


def test_codes_move_to_latents_and_latents_slowly_to_codes():
    z, code = jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 4.0]])
    passed, pull = jax.vjp(lambda z: straight_through(z, code), z)
    np.testing.assert_array_equal(passed, code)
    np.testing.assert_array_equal(pull(jnp.array([[3.0, 5.0]]))[0], [[3.0, 5.0]])
    to_code, to_latent = jax.grad(codes_loss, (1, 0))(z, code)
    np.testing.assert_allclose(to_code, code - z)  # 2 (e - z) / 2 numbers
    np.testing.assert_allclose(to_latent, 0.25 * (z - code))


def test_a_sum_over_an_image_makes_the_kl_term_small():
    """The sum is H W C times the mean, so that kl = 1e-6 is that of latent diffusion."""
    weights = dict(start=10, kl=0.1)
    method, params = made(config_of(**weights))
    summed = build_method(config_of(**weights, reduction="sum"), SHAPE)
    mean, metrics, _ = loss_of(method, "autoencoder", params, context())
    total, same, _ = loss_of(summed, "autoencoder", params, context())
    assert metrics == same  # the metrics are means in both
    np.testing.assert_allclose(mean, metrics["l1"] + 0.1 * metrics["kl"], rtol=1e-5)
    np.testing.assert_allclose(total, 16 * metrics["l1"] + 0.1 * metrics["kl"], rtol=1e-5)
    with pytest.raises(UserError, match=r"config.loss.reduction is 'total'; 'mean' or 'sum' is"):
        validate(config_of(reduction="total"))


def test_the_adaptive_weight_is_that_of_the_sum():
    """Its gradient of the reconstruction is H W C times as large, up to the clamp."""
    method, params = made(config_of())
    summed = build_method(config_of(reduction="sum"), SHAPE)
    found = [
        loss_of(m, "autoencoder", params, context())[1]["adaptive_weight"] for m in (method, summed)
    ]
    np.testing.assert_allclose(found[1], 16 * found[0], rtol=1e-4)


@pytest.mark.slow
def test_dropout_in_training_alone():
    network = {**CONV, "codes": 0, "dropout": 0.5}
    method, params = made(config_of(network, start=10))
    plain = build_method(config_of({**network, "dropout": 0.0}, start=10), SHAPE)
    # Random parameters: some layers begin near zero, and dropout would not be seen.
    params = jax.tree.map(
        lambda x: jax.random.normal(jax.random.key(3), x.shape) / 4, jax.device_get(params)
    )
    at = context()
    first, again, without = (
        loss_of(m, "autoencoder", params, c)[0]
        for m, c in ((method, at), (method, at._replace(key=jax.random.key(2))), (plain, at))
    )
    assert len({first, again, without}) == 3
    assert first == loss_of(method, "autoencoder", params, at)[0]
    images = at.batch["image"]
    latents = [m.inversion.encode(params, images, None) for m in (method, plain)]
    np.testing.assert_array_equal(*latents)
    images = [m.inversion.decode(params, latents[0], None) for m in (method, plain)]
    np.testing.assert_array_equal(*images)


@pytest.mark.slow
def test_codes_in_training():
    """The autoencoder rebuilds from codes, and both sides of the straight line are trained."""
    method, params = made(config_of(CONV, start=10))
    loss, metrics, grads = loss_of(method, "autoencoder", params, context())
    np.testing.assert_allclose(loss, metrics["l1"] + metrics["codes"], rtol=1e-5)
    for part in ("codebook", "encoder", "decoder"):
        assert any(np.any(g) for g in jax.tree.leaves(grads[part])), part


@pytest.mark.slow
def test_lpips_is_a_term_whose_weights_are_an_argument(monkeypatch):
    monkeypatch.setattr(method_file.lpips, "distance", lambda p, a, b: p * jnp.mean((a - b) ** 2))
    shape = (16, 16, 3)
    network = {**MLP, "latent_shape": (2, 2, 1)}
    method, params = made(config_of(network, start=10, lpips=0.5), shape)
    loss, metrics, _ = loss_of(
        method, "autoencoder", params, context(shape=shape, frozen={"lpips": jnp.float32(3)})
    )
    assert metrics["lpips"] > 0
    np.testing.assert_allclose(loss, metrics["l1"] + 0.5 * metrics["lpips"], rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(lpips=1.0), ["config.loss.lpips is 1.0", "(4, 4, 1)"]),
        (dict(kl=-1.0), ["config.loss.kl is -1.0"]),
        (dict(adversarial_start=0.5), ["config.loss.adversarial_start is 0.5"]),
    ],
)
def test_weights_out_of_range(change, words):
    config = config_of()
    config.loss = {**config.loss.to_dict(), **change}
    with pytest.raises(UserError) as error:
        build_method(config, SHAPE)
    assert all(word in str(error.value) for word in words), error.value


def test_sizes_that_do_not_fit():
    config = config_of({**CONV, "multipliers": (1, 1, 1)})
    with pytest.raises(UserError, match=r"autoencoder.network .* halves its inputs 2 .* 6x6"):
        build_method(config, (6, 6, 1))
    config = config_of()
    config.disc.layers = 1
    with pytest.raises(UserError, match=r"disc.network .* config.disc.layers = 1; .* fewer"):
        build_method(config, SHAPE)
    with pytest.raises(UserError, match=r"config.autoencoder.dropout is 1.0; a number in \[0, 1\)"):
        build_method(config_of({**CONV, "dropout": 1.0}), SHAPE)
    config = config_of(CONV, kl=0.1)
    with pytest.raises(UserError, match=r"config.loss.kl is 0.1; 0 where"):
        build_method(config, SHAPE)
