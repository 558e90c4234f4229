"""DDPM: linear schedule, spaced chains, both samplers with exact predictors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddgan_jax.config.stored import check_same_run, read_config, save_config
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.random import per_sample_normal, sample_keys
from ddgan_jax.core.types import Context
from ddgan_jax.diffusion import processes, schedules
from ddgan_jax.methods import build_method, complete_config, fields_of
from ddgan_jax.methods.ddpm import make_ddpm
from ddgan_jax.presets import ddpm
from ddgan_jax.spaces.pixels import pixels

BETAS = schedules.linear_betas(1000)
ALPHA_BAR = np.concatenate([[1], np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))])


def test_marginals_match_the_closed_form():
    assert BETAS.shape == (1000,) and BETAS.dtype == np.float32
    forward = schedules.forward_tables(BETAS)
    np.testing.assert_allclose(forward.sqrt_alpha_bar, np.sqrt(ALPHA_BAR), rtol=1e-6)
    np.testing.assert_allclose(forward.sigma_bar, np.sqrt(1 - ALPHA_BAR), rtol=1e-5)
    n, x_0 = 100_000, 0.7
    for t in (1, 100, 1000):
        noise = jax.random.normal(jax.random.key(t), (n, 1))
        x = processes.diffuse(forward, jnp.full((n, 1), x_0), jnp.full(n, t), noise)
        sigma = np.sqrt(1 - ALPHA_BAR[t])
        assert abs(float(x.mean()) - np.sqrt(ALPHA_BAR[t]) * x_0) < 5 * sigma / np.sqrt(n)
        np.testing.assert_allclose(x.std(), sigma, rtol=5 / np.sqrt(2 * n))


@pytest.mark.parametrize("count", [1, 7, 50, 1000])
def test_a_spaced_chain_has_the_same_marginals(count):
    times, kept = schedules.spaced(BETAS, count)
    assert times.shape == kept.shape == (count,) and times[-1] == 1000
    assert np.all(np.diff(np.concatenate([[0], times])) > 0)
    tables = schedules.forward_tables(kept)
    np.testing.assert_allclose(tables.sqrt_alpha_bar[1:], np.sqrt(ALPHA_BAR[times]), rtol=1e-6)
    if count == 1000:
        np.testing.assert_allclose(kept, BETAS, rtol=1e-6)


class Oracle:
    """Predicts the exact noise in x, given the data."""

    def __init__(self, data):
        self.data = data

    def apply(self, variables, x, t, z, train=False, rngs=None):
        del variables, z, train, rngs
        tables = schedules.forward_tables(BETAS)
        signal = processes.at(tables.sqrt_alpha_bar, t + 1, x)
        return (x - signal * self.data) / processes.at(tables.sigma_bar, t + 1, x)


def method_of(predictor, shape, sampler, steps, clip=False):
    return make_ddpm(
        generator=predictor,
        space=pixels(shape),
        betas=BETAS,
        sampler=sampler,
        sample_steps=steps,
        clip=clip,
    )


@pytest.mark.parametrize("sampler", ["ddim", "ancestral"])
@pytest.mark.parametrize("steps", [1, 10, 1000])
def test_samplers_with_an_oracle_return_the_data(sampler, steps):
    data = jax.random.normal(jax.random.key(5), (3, 2, 2, 1))
    method = method_of(Oracle(data), (2, 2, 1), sampler, steps)
    out = jax.jit(method.sample)({"gen": {}}, sample_keys(jax.random.key(0), 0, 3), ())
    # In one step from t = 1000 what is known of x_0 is divided by sqrt(abar) = 0.006.
    np.testing.assert_allclose(out, data, atol=1e-4 if steps == 1 else 1e-6)
    assert method.nfe == steps


class Showing(Oracle):
    """An oracle whose last prediction makes the sampler return its current x."""

    def __init__(self, data, last):
        super().__init__(data)
        self.last = last

    def apply(self, variables, x, t, z, train=False, rngs=None):
        tables = schedules.forward_tables(BETAS)
        signal, sigma = (
            processes.at(table, t + 1, x) for table in (tables.sqrt_alpha_bar, tables.sigma_bar)
        )
        known = super().apply(variables, x, t, z)
        return jnp.where(t[0] + 1 == self.last, x * (1 - signal) / sigma, known)


@pytest.mark.parametrize("steps", [2, 10, 200])
def test_ddim_with_an_oracle_stays_on_the_line_of_its_noise(steps):
    """x_tau = sqrt(abar) x_0 + sqrt(1 - abar) n with one n: whatever updates led to tau."""
    data = jax.random.normal(jax.random.key(5), (3, 2, 2, 1))
    last = int(schedules.spaced(BETAS, steps)[0][0])
    method = method_of(Showing(data, last), (2, 2, 1), "ddim", steps)
    keys = sample_keys(jax.random.key(0), 0, 3)
    x_T = per_sample_normal(keys, steps, 0, (2, 2, 1))
    noise = (x_T - np.sqrt(ALPHA_BAR[1000]) * data) / np.sqrt(1 - ALPHA_BAR[1000])
    expected = np.sqrt(ALPHA_BAR[last]) * data + np.sqrt(1 - ALPHA_BAR[last]) * noise
    out = jax.jit(method.sample)({"gen": {}}, keys, ())
    np.testing.assert_allclose(out, expected, atol=2e-5)


@pytest.mark.parametrize("steps", [2, 10, 200])
def test_ancestral_steps_with_an_oracle_draw_from_the_marginals(steps):
    data = jnp.full((400, 50), 0.7)
    last = int(schedules.spaced(BETAS, steps)[0][0])
    method = method_of(Showing(data, last), (50,), "ancestral", steps)
    out = jax.jit(method.sample)({"gen": {}}, sample_keys(jax.random.key(0), 0, 400), ())
    sigma = np.sqrt(1 - ALPHA_BAR[last])
    assert abs(float(out.mean()) - 0.7 * np.sqrt(ALPHA_BAR[last])) < 5 * sigma / np.sqrt(out.size)
    np.testing.assert_allclose(out.std(), sigma, rtol=5 / np.sqrt(2 * out.size))


MEAN, STD = 0.5, 0.3


class OfGaussian:
    """E[n | x_t] for data N(MEAN, STD^2)."""

    def apply(self, variables, x, t, z, train=False, rngs=None):
        del variables, z, train, rngs
        tables = schedules.forward_tables(BETAS)
        a, s = (
            processes.at(table, t + 1, x) for table in (tables.sqrt_alpha_bar, tables.sigma_bar)
        )
        return s * (x - a * MEAN) / (a**2 * STD**2 + s**2)


def moments_by_recursion(steps, sampler):
    """Mean and variance of x_0 as sampled with that predictor: each step is affine in x."""
    times, _ = schedules.spaced(BETAS, steps)
    bars = ALPHA_BAR[np.concatenate([[0], times])]
    mean, variance = 0.0, 1.0
    for i in range(steps, 0, -1):
        bar, previous = bars[i], bars[i - 1]
        gain = np.sqrt(bar) * STD**2 / (bar * STD**2 + 1 - bar)  # E[x_0 | x] is affine
        offset = MEAN - gain * np.sqrt(bar) * MEAN
        beta = 1 - bar / previous
        if sampler == "ddim":
            ratio, extra = np.sqrt((1 - previous) / (1 - bar)), 0.0
            of_x0 = np.sqrt(previous) - ratio * np.sqrt(bar)
            of_x = ratio
        else:
            extra = beta * (1 - previous) / (1 - bar)
            of_x0 = np.sqrt(previous) * beta / (1 - bar)
            of_x = np.sqrt(1 - beta) * (1 - previous) / (1 - bar)
        slope = of_x0 * gain + of_x
        mean, variance = slope * mean + of_x0 * offset, slope**2 * variance + extra
    return mean, variance


@pytest.mark.parametrize("sampler", ["ddim", "ancestral"])
@pytest.mark.parametrize("steps", [5, 50])
def test_moments_of_samples_of_a_gaussian(sampler, steps):
    """With the exact predictor, for a finite number of steps, against float64 arithmetic."""
    method = method_of(OfGaussian(), (500,), sampler, steps)
    x = jax.jit(method.sample)({"gen": {}}, sample_keys(jax.random.key(0), 0, 100), ())
    mean, variance = moments_by_recursion(steps, sampler)
    assert abs(float(x.mean()) - mean) < 5 * np.sqrt(variance / x.size)
    np.testing.assert_allclose(x.var(), variance, rtol=5 * np.sqrt(2 / x.size))


def test_with_all_steps_the_variance_is_that_of_the_data():
    for sampler in ("ddim", "ancestral"):
        mean, variance = moments_by_recursion(1000, sampler)
        np.testing.assert_allclose(mean, MEAN, rtol=1e-2)
        np.testing.assert_allclose(np.sqrt(variance), STD, rtol=2e-2)


def context_of(image, key=0):
    batch = {"image": image, "label": jnp.zeros(len(image), jnp.int32)}
    return Context(batch, jax.random.key(key), jnp.int32(0), (), ())


def test_the_loss_is_the_mean_squared_error_of_the_noise():
    data = jnp.full((512, 4), 0.3)
    (phase,) = method_of(Oracle(0.3), (4,), "ddim", 10).phases
    assert float(phase.loss({"gen": {}}, context_of(data))[0]) < 1e-6

    class Zero:
        def apply(self, variables, x, t, z, train=False, rngs=None):
            assert t.shape == (512,) and t.dtype == jnp.int32 and z.shape == (512, 1) and train
            return 0 * x

    (phase,) = method_of(Zero(), (4,), "ddim", 10).phases
    loss = phase.loss({"gen": {}}, context_of(data))[0]
    assert abs(float(loss) - 1) < 5 * np.sqrt(2 / 2048)


def test_the_network_is_told_every_time_from_0():
    seen = []

    class Spy:
        def apply(self, variables, x, t, z, train=False, rngs=None):
            seen.append(np.asarray(t))
            return 0 * x

    (phase,) = method_of(Spy(), (1,), "ddim", 10).phases
    phase.loss({"gen": {}}, context_of(jnp.zeros((20_000, 1))))
    assert set(np.unique(seen[0])) == set(range(1000))


def test_clipping_keeps_what_is_predicted_within_the_images_range():
    class Zero:
        def apply(self, variables, x, t, z, train=False, rngs=None):
            return 0 * x

    keys = sample_keys(jax.random.key(0), 0, 50)
    free = method_of(Zero(), (4,), "ddim", 5).sample({"gen": {}}, keys, ())
    kept = method_of(Zero(), (4,), "ddim", 5, clip=True).sample({"gen": {}}, keys, ())
    assert float(jnp.abs(free).max()) > 10
    assert float(jnp.abs(kept).max()) <= 1


def tiny():
    network = dict(network="mlp", width=8, blocks=1, t_width=4, octaves=0, tanh=False)
    return ddpm(gen=network, learning_rate=1e-3, clip=True)


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("sampler", "steps", 1001),
        ("sampler", "steps", 0),
        ("sampler", "kind", "euler"),
        ("diffusion", "beta_max", 1.0),
        ("diffusion", "num_steps", 0),
        ("gen", "tanh", True),
    ],
)
def test_mistakes_are_one_line(part, field, value):
    config = tiny()
    config[part][field] = value
    with pytest.raises(UserError, match=field) as caught:
        build_method(config, (2, 2, 1))
    assert "\n" not in str(caught.value)


def test_sampler_and_steps_are_config_fields():
    config = tiny()
    config.sampler.kind, config.sampler.steps = "ddim", 20
    assert build_method(config, (2, 2, 1)).nfe == 20


def test_the_sampler_may_change_after_training(tmp_path):
    config = tiny()
    save_config(tmp_path, config)
    config.sampler.kind, config.sampler.steps = "ddim", 50
    saved = complete_config(read_config(tmp_path))
    changes = check_same_run(tmp_path, saved, complete_config(config), fields_of(config))
    assert len(changes) == 2 and all("sampler." in change for change in changes)
