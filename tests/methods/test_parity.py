"""Parity with numbers of the published implementation on small random networks."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddgan_jax.core import losses
from ddgan_jax.diffusion import processes, schedules
from ddgan_jax.interop.ddgan import discriminator_entries, generator_entries
from ddgan_jax.interop.names import to_arrays, to_params
from ddgan_jax.networks.ncsnpp import NCSNpp
from ddgan_jax.networks.resblock import ResBlockDiscriminator

SMALL = dict(multipliers=(2, 4, 8, 8), downsample=(False, True, True, True))
LARGE = dict(multipliers=(4, 8, 8, 8, 8, 8), downsample=(True,) * 6)
RTOL = 1e-4

# Softmax does not see a constant added to all keys, so the true gradient of a key's bias is 0 and
# both implementations return rounding noise there.
NO_GRADIENT = "['k']['bias']"


def relative(ours, theirs) -> float:
    """||ours - theirs|| / ||theirs|| in float64."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


@pytest.fixture(scope="module", params=["small", "large"])
def golden(request, reference):
    with np.load(reference(f"reference/ddgan_{request.param}.npz")) as file:
        arrays = dict(file)
    meta = json.loads(str(arrays.pop("meta")))
    groups: dict[str, dict[str, np.ndarray]] = {}
    for name, value in arrays.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = value
    g = meta["generator"]
    generator = NCSNpp(
        channels=3,
        width=g["num_channels_dae"],
        multipliers=tuple(g["ch_mult"]),
        blocks=g["num_res_blocks"],
        attention=tuple(g["attn_resolutions"]),
        z_width=g["z_emb_dim"],
        z_layers=g["n_mlp"],
    )
    d = meta["discriminator"]
    discriminator = ResBlockDiscriminator(
        width=d["ngf"],
        t_width=d["t_emb_dim"],
        final_scale=0.0 if d["kind"] == "small" else 1.0,
        **(SMALL if d["kind"] == "small" else LARGE),
    )
    betas = schedules.variance_preserving_betas(
        meta["num_timesteps"], meta["beta_min"], meta["beta_max"]
    )
    arrays = {k: jnp.asarray(v) for k, v in groups["io"].items()}
    io = SimpleNamespace(**arrays | {"t": arrays["t"].astype(jnp.int32)})
    key = jax.random.key(0)
    gen = jax.eval_shape(generator.init, key, io.x_0, io.t, io.z)["params"]
    disc = jax.eval_shape(discriminator.init, key, io.x_0, io.t, io.x_0)["params"]
    gen_entries, disc_entries = generator_entries(gen), discriminator_entries(disc)
    return SimpleNamespace(
        meta=meta,
        io=io,
        schedule=groups["schedule"],
        generator=generator,
        discriminator=discriminator,
        gen=to_params(groups["G"], gen_entries, gen),
        disc=to_params(groups["D"], disc_entries, disc),
        grad_gen=to_params(groups["gradG"], gen_entries, gen),
        grad_disc=to_params(groups["gradD"], disc_entries, disc),
        raw=groups,
        entries={"gen": gen_entries, "disc": disc_entries},
        betas=betas,
        forward=schedules.forward_tables(betas),
        posterior=schedules.posterior_tables(betas),
    )


def test_schedules(golden):
    forward, posterior = golden.forward, golden.posterior
    for ours, name in [
        (forward.sigma, "sigmas"),
        (forward.sqrt_alpha, "a_s"),
        (forward.sqrt_alpha_bar, "a_s_cum"),
        (forward.sigma_bar, "sigmas_cum"),
        (golden.betas, "betas"),
        (posterior.coef_x0, "posterior_mean_coef1"),
        (posterior.coef_xt, "posterior_mean_coef2"),
        (posterior.variance, "posterior_variance"),
    ]:
        np.testing.assert_allclose(ours, golden.schedule[name], rtol=1e-6, err_msg=name)
    sigma = np.exp(0.5 * golden.schedule["posterior_log_variance_clipped"])
    sigma[0] = 0  # where the published code clips the logarithm, and then adds no noise
    np.testing.assert_allclose(posterior.sigma, sigma, rtol=1e-6)


def test_forward_pair(golden):
    io = golden.io
    x_t, x_next = processes.diffuse_pair(golden.forward, io.x_0, io.t, io.noise_x_t, io.noise_x_tp1)
    assert relative(x_t, io.x_t) < 1e-6
    assert relative(x_next, io.x_tp1) < 1e-6


def test_posterior(golden):
    io = golden.io
    x_t = processes.posterior_sample(
        golden.posterior, io.x_0_pred, io.x_tp1, io.t, io.noise_posterior
    )
    assert relative(x_t, io.x_posterior) < 1e-6


def test_generator(golden):
    io = golden.io
    x_0 = jax.jit(golden.generator.apply)({"params": golden.gen}, io.x_tp1, io.t, io.z)
    assert x_0.dtype == jnp.float32
    assert relative(x_0, io.x_0_pred) < RTOL
    reconstruction = jnp.mean(jnp.abs(x_0 - io.x_0))
    assert relative(reconstruction, io.l1_rec) < RTOL


def test_discriminator(golden):
    io = golden.io
    discriminate = jax.jit(golden.discriminator.apply)
    variables = {"params": golden.disc}
    assert relative(discriminate(variables, io.x_t, io.t, io.x_tp1), io.d_real) < RTOL
    assert relative(discriminate(variables, io.x_posterior, io.t, io.x_tp1), io.d_fake) < RTOL


def assert_gradients_match(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    scale = np.sqrt(sum(float(np.sum(np.square(x))) for x in jax.tree.leaves(theirs)))
    pairs = zip(jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(theirs), strict=True)
    for (path, gradient), expected in pairs:
        name = jax.tree_util.keystr(path)
        if name.endswith(NO_GRADIENT):
            assert float(np.linalg.norm(gradient)) < 1e-7 * scale, name
        else:
            assert relative(gradient, expected) < RTOL, name


@pytest.mark.slow
def test_discriminator_loss_and_gradients(golden):
    io, gamma = golden.io, golden.meta["r1_gamma"]

    def total(params):
        def discriminate(x):
            return golden.discriminator.apply({"params": params}, x, io.t, io.x_tp1)

        loss = losses.logistic_disc_loss(discriminate(io.x_t), discriminate(io.x_posterior))
        penalty = gamma / 2 * losses.gradient_penalty(discriminate, io.x_t)
        return loss + penalty, (loss, penalty)

    (_, (loss, penalty)), grads = jax.jit(jax.value_and_grad(total, has_aux=True))(golden.disc)
    assert relative(loss, io.loss_d) < RTOL
    assert relative(penalty, io.r1_penalty) < RTOL
    assert_gradients_match(grads, golden.grad_disc)


@pytest.mark.slow
def test_generator_loss_and_gradients(golden):
    io = golden.io

    def total(params):
        x_0 = golden.generator.apply({"params": params}, io.x_tp1, io.t, io.z)
        fake = processes.posterior_sample(golden.posterior, x_0, io.x_tp1, io.t, io.noise_posterior)
        d_fake = golden.discriminator.apply({"params": golden.disc}, fake, io.t, io.x_tp1)
        return losses.nonsaturating_gen_loss(None, d_fake)

    loss, grads = jax.jit(jax.value_and_grad(total))(golden.gen)
    assert relative(loss, io.loss_g) < RTOL
    assert_gradients_match(grads, golden.grad_gen)


def test_arrays_come_back_as_they_were(golden):
    for role, params, group in (("gen", golden.gen, "G"), ("disc", golden.disc, "D")):
        arrays = to_arrays(params, golden.entries[role])
        assert arrays.keys() == golden.raw[group].keys()
        for name, expected in golden.raw[group].items():
            np.testing.assert_array_equal(arrays[name], expected, strict=True, err_msg=name)
