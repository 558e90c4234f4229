"""Identities of the diffusion that need no network."""

import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddgan_jax.core import losses
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.random import sample_keys
from ddgan_jax.diffusion import processes, schedules
from ddgan_jax.methods.ddgan import DDGAN, make_ddgan
from ddgan_jax.methods.entry import Penalties
from ddgan_jax.spaces.pixels import pixels

STEPS = (1, 2, 4, 8)


def tables(num_steps: int):
    betas = schedules.variance_preserving_betas(num_steps)
    return schedules.forward_tables(betas), schedules.posterior_tables(betas)


@pytest.mark.parametrize("num_steps", STEPS)
def test_forward_pair_composes_to_the_marginal(num_steps):
    """x_{t+1} = sqrt_alpha x_t + sigma n has mean sqrt_alpha_bar x_0 and variance sigma_bar^2."""
    forward, _ = tables(num_steps)
    for t in range(num_steps):
        mean = forward.sqrt_alpha[t + 1] * forward.sqrt_alpha_bar[t]
        variance = (forward.sqrt_alpha[t + 1] * forward.sigma_bar[t]) ** 2 + forward.sigma[
            t + 1
        ] ** 2
        np.testing.assert_allclose(mean, forward.sqrt_alpha_bar[t + 1], rtol=1e-6)
        np.testing.assert_allclose(variance, forward.sigma_bar[t + 1] ** 2, rtol=1e-6)


def test_drawn_pairs_have_the_moments_of_the_marginal():
    process = processes.gaussian(schedules.variance_preserving_betas(4))
    forward, _ = tables(4)
    n = 200_000
    x_0 = jnp.full((n, 1), 0.7)
    for t in range(4):
        times = jnp.full(n, t, jnp.int32)
        x_t, x_next = process.forward_pair(jax.random.key(t), x_0, times)
        for x, i in ((x_t, t), (x_next, t + 1)):
            assert abs(float(x.mean()) - 0.7 * forward.sqrt_alpha_bar[i]) < 0.01
            assert abs(float(x.std()) - forward.sigma_bar[i]) < 0.01
        both = np.cov(np.concatenate([x_t, x_next], axis=1).T)
        assert abs(both[0, 1] - forward.sqrt_alpha[t + 1] * forward.sigma_bar[t] ** 2) < 0.01


def test_data_is_x_0_and_the_last_time_is_almost_noise():
    forward, _ = tables(4)
    assert forward.sqrt_alpha_bar[0] == 1 and forward.sigma_bar[0] == 0
    assert forward.sqrt_alpha_bar[-1] < 0.01 and abs(forward.sigma_bar[-1] - 1) < 1e-4


@pytest.mark.parametrize("num_steps", (2, 4, 8))
def test_posterior_is_bayes_rule_on_a_grid(num_steps):
    """q(x_t | x_{t+1}, x_0) = q(x_{t+1} | x_t) q(x_t | x_0) / q(x_{t+1} | x_0), numerically."""
    forward, posterior = tables(num_steps)
    x_0, x_next = 0.3, -0.4
    for t in range(1, num_steps):
        f = [np.asarray(table, np.float64) for table in forward]
        mean, variance = processes.posterior_mean_variance(
            posterior, jnp.array([[x_0]]), jnp.array([[x_next]]), jnp.array([t])
        )
        mean, sigma = float(mean[0, 0]), float(variance[0, 0]) ** 0.5
        x = np.linspace(mean - 8 * sigma, mean + 8 * sigma, 4001)
        log_density = -((x_next - f[1][t + 1] * x) ** 2) / (2 * f[0][t + 1] ** 2) - (
            x - f[2][t] * x_0
        ) ** 2 / (2 * f[3][t] ** 2)
        density = np.exp(log_density - log_density.max())
        density /= density.sum()
        grid_mean = (density * x).sum()
        grid_sigma = np.sqrt((density * (x - grid_mean) ** 2).sum())
        np.testing.assert_allclose(mean, grid_mean, atol=1e-5)
        np.testing.assert_allclose(sigma, grid_sigma, rtol=1e-4)


def test_posterior_at_time_0_is_x_0():
    _, posterior = tables(4)
    x_0, x_next, noise = (jax.random.normal(jax.random.key(i), (3, 5)) for i in range(3))
    out = processes.posterior_sample(posterior, x_0, x_next, jnp.zeros(3, jnp.int32), noise)
    np.testing.assert_array_equal(out, x_0)


@pytest.mark.parametrize("num_steps", (1, 2, 4))
def test_sampler_with_an_oracle_generator_returns_the_data(num_steps):
    """With a generator that returns x_0, the last posterior sample is x_0."""
    data = jax.random.normal(jax.random.key(5), (3, 2, 2, 1))

    class Oracle:
        def apply(self, variables, x, t, z):
            del variables, t, z
            return data + 0 * x

    process = processes.gaussian(schedules.variance_preserving_betas(num_steps))
    parts = DDGAN(Oracle(), None, process, pixels((2, 2, 1)), latent_size=3)
    method = make_ddgan(parts, Penalties(0.0, 1))
    out = jax.jit(method.sample)({"gen": {}}, sample_keys(jax.random.key(0), 0, 3), ())
    np.testing.assert_array_equal(out, data)
    assert method.nfe == num_steps


def test_sampler_with_the_true_denoiser_draws_the_marginals():
    """For Gaussian data and x_0' ~ q(x_0 | x_t), samples have the data's mean and deviation."""
    forward, _ = tables(4)
    mean_0, sigma_0 = 0.5, 0.2
    root_abar, sigma_bar = jnp.asarray(forward.sqrt_alpha_bar), jnp.asarray(forward.sigma_bar)

    class TrueDenoiser:
        def apply(self, variables, x, t, z):
            del variables
            a, s = root_abar[t + 1][:, None], sigma_bar[t + 1][:, None]
            precision = 1 / sigma_0**2 + a**2 / s**2
            mean = (mean_0 / sigma_0**2 + a * x / s**2) / precision
            return mean + z * precision**-0.5

    process = processes.gaussian(schedules.variance_preserving_betas(4))
    parts = DDGAN(TrueDenoiser(), None, process, pixels((1,)), latent_size=1)
    method = make_ddgan(parts, Penalties(0.0, 1))
    out = jax.jit(method.sample)({"gen": {}}, sample_keys(jax.random.key(0), 0, 100_000), ())
    assert abs(float(out.mean()) - mean_0) < 0.005
    assert abs(float(out.std()) - sigma_0) < 0.005


def test_r1_and_its_gradient_against_finite_differences():
    """Gradient penalty of a nonlinear discriminator and its parameter gradient, in float64."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((5, 3))
        weights = {"a": rng.standard_normal((3, 4)), "b": rng.standard_normal(4)}

        def discriminate(w, y):
            return jnp.tanh(y @ w["a"]) @ w["b"]

        def penalty(w):
            return losses.gradient_penalty(lambda y: discriminate(w, y), jnp.asarray(x))

        step = 1e-6
        columns = [
            (discriminate(weights, x + step * e) - discriminate(weights, x - step * e)) / (2 * step)
            for e in np.eye(3)
        ]
        numeric = np.mean(np.sum(np.square(np.stack(columns, 1)), axis=1))
        np.testing.assert_allclose(penalty(weights), numeric, rtol=1e-8)
        jax.test_util.check_grads(penalty, (weights,), order=1, modes=["rev"], rtol=1e-7)


def test_losses_at_logits_of_zero():
    zeros = jnp.zeros(7)
    np.testing.assert_allclose(losses.logistic_disc_loss(zeros, zeros), 2 * np.log(2), rtol=1e-6)
    np.testing.assert_allclose(losses.nonsaturating_gen_loss(None, zeros), np.log(2), rtol=1e-6)


VP, LINEAR = schedules.variance_preserving_betas, schedules.linear_betas
ORDER = "finite numbers 0 < beta_min <= beta_max"
REFUSED = [
    (VP, dict(num_steps=0), "config.diffusion.num_steps is 0; at least 1 is needed"),
    (VP, dict(num_steps=4, beta_min=-1.0), ORDER),
    (VP, dict(num_steps=4, beta_max=0.0), ORDER),
    (VP, dict(num_steps=4, beta_max=math.inf), ORDER),
    (VP, dict(num_steps=4, beta_max=math.nan), ORDER),
    (VP, dict(num_steps=4, beta_max=100.0), "beta_max is 100.0; a number below 79.27 is needed"),
    (VP, dict(num_steps=4, beta_max=1000.0), "beta_max is 1000.0; a number below 79.27 is needed"),
    (VP, dict(num_steps=4, beta_max=1e308), "beta_max is 1e+308; a number below 79.27 is needed"),
    (VP, dict(num_steps=1000, beta_max=1000.0), "a number below 349.24 is needed with"),
    (VP, dict(num_steps=1, beta_min=20.0), "beta_min is 20.0; a number below 17.34 is needed"),
    (VP, dict(num_steps=4, beta_min=1e-18, beta_max=1e-17), "beta_max is 1e-17; a number above"),
    (LINEAR, dict(num_steps=0), "config.diffusion.num_steps is 0; at least 1 is needed"),
    (LINEAR, dict(num_steps=4, beta_max=1e-5), ORDER),
    (LINEAR, dict(num_steps=4, beta_max=1.0), f"{ORDER} < 1 are needed"),
    (LINEAR, dict(num_steps=4, beta_max=1 - 1e-9), f"{ORDER} < 1 are needed"),
    (LINEAR, dict(num_steps=4, beta_max=math.nan), ORDER),
    (LINEAR, dict(num_steps=4, beta_min=1e-20), "config.diffusion.beta_min is 1e-20; a number of"),
    (LINEAR, dict(num_steps=10**5), "or fewer than config.diffusion.num_steps = 100000, is needed"),
]


@pytest.mark.parametrize(("schedule", "settings", "words"), REFUSED)
def test_settings_of_degenerate_schedules_are_refused(schedule, settings, words):
    with pytest.raises(UserError) as error:
        schedule(**settings)
    message = str(error.value)
    assert words in message and message.startswith("config.diffusion.") and "\n" not in message


def assert_regular(betas):
    """All tables are finite, and no step keeps or loses everything."""
    forward, posterior = schedules.forward_tables(betas), schedules.posterior_tables(betas)
    assert betas.dtype == np.float32 and betas.min() > 0 and betas.max() < 1
    assert all(np.isfinite(table).all() for table in (*forward, *posterior))
    assert forward.sigma_bar[1:].min() > 0 and forward.sqrt_alpha_bar.min() > 0


@pytest.mark.parametrize("num_steps", (1, 2, 4, 1000))
@pytest.mark.parametrize("beta_min", (1e-10, 0.1, 10.0))
def test_schedules_are_regular_up_to_the_limits_that_are_named(num_steps, beta_min):
    with pytest.raises(UserError, match="a number below") as error:
        VP(num_steps, beta_min, 1e6)
    limit = float(str(error.value).partition("below ")[2].split()[0])
    assert_regular(VP(num_steps, beta_min, limit))
    with pytest.raises(UserError, match="a number below"):
        VP(num_steps, beta_min, 1.01 * limit)
    with pytest.raises(UserError, match="a number above") as error:
        VP(num_steps, 1e-300, 1e-300)
    least = float(str(error.value).partition("above ")[2].split()[0])
    assert_regular(VP(num_steps, 1e-300, 1.1 * least))


def test_linear_schedules_are_regular_at_their_limits():
    for settings in (
        dict(num_steps=1, beta_min=2.3e-16, beta_max=1 - 1e-7),
        dict(num_steps=1000),
        dict(num_steps=17_000),
    ):
        assert_regular(LINEAR(**settings))


def test_a_chain_that_is_too_short_to_sample_with_is_refused():
    betas = LINEAR(1000, 1e-4, 0.2)  # alpha_bar_T is 1e-46
    with pytest.raises(UserError, match=r"config\.sampler\.steps is 1; more are needed"):
        schedules.spaced(betas, 1)
    with pytest.raises(UserError, match=r"config\.sampler\.steps is 0; an integer from 1 to"):
        schedules.spaced(betas, 0)
    assert np.isfinite(schedules.forward_tables(schedules.spaced(betas, 10)[1])).all()


class PureFunctions(chex.TestCase):
    """Forward pair and posterior: the same numbers eagerly, jitted, vmapped and pmapped."""

    def setUp(self):
        super().setUp()
        self.forward, self.posterior = tables(4)
        keys = [jax.random.key(i) for i in range(3)]
        self.arrays = [np.asarray(jax.random.normal(k, (8, 4, 4, 1))) for k in keys]
        self.t = np.arange(8, dtype=np.int32) % 4

    def pair(self, x_0, t, a, b):
        return processes.diffuse_pair(self.forward, x_0, t, a, b)

    def posterior_sample(self, x_0, t, a, b):
        return processes.posterior_sample(self.posterior, x_0, a, t, b)

    def check(self, function):
        x_0, a, b = self.arrays
        expected = function(x_0, self.t, a, b)
        got = self.variant(function)(x_0, self.t, a, b)
        chex.assert_trees_all_close(got, expected, rtol=1e-6, atol=1e-6)

    @chex.variants(with_jit=True, without_jit=True, with_device=True)
    def test_pair(self):
        self.check(self.pair)

    @chex.variants(with_jit=True, without_jit=True, with_device=True)
    def test_posterior(self):
        self.check(self.posterior_sample)

    @chex.variants(with_pmap=True)
    def test_pmapped(self):
        x_0, a, b = self.arrays
        devices = jax.local_device_count()

        def split(x):
            return x.reshape(devices, -1, *x.shape[1:])

        for function in (self.pair, self.posterior_sample):
            expected = function(x_0, self.t, a, b)
            got = self.variant(function, broadcast_args_to_devices=False, reduce_fn=None)(
                split(x_0), split(self.t), split(a), split(b)
            )
            joined = jax.tree.map(lambda x: np.asarray(x).reshape(8, *x.shape[2:]), got)
            chex.assert_trees_all_close(joined, expected, rtol=1e-6, atol=1e-6)

    def test_vmapped(self):
        x_0, a, b = self.arrays
        for function in (self.pair, self.posterior_sample):
            expected = function(x_0, self.t, a, b)
            got = jax.vmap(function)(*(x[:, None] for x in (x_0, self.t, a, b)))
            got = jax.tree.map(lambda x: x[:, 0], got)
            chex.assert_trees_all_close(got, expected, rtol=1e-6, atol=1e-6)
