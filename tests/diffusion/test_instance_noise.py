"""Diffusion-GAN's instance noise: distribution, adaptive chain, gradient, use in other methods."""

import functools
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ddgan_jax.core.errors import UserError
from ddgan_jax.diffusion import instance_noise
from ddgan_jax.diffusion.instance_noise import LIST_SIZE, LIST_ZEROS, InstanceNoise
from ddgan_jax.presets import diffusion_gan

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = InstanceNoise()


def closed_form(length, beta_min=1e-4, beta_max=0.02):
    """abar_0..abar_T in float64."""
    return np.concatenate([[1], np.cumprod(1 - np.linspace(beta_min, beta_max, length))])


def state_at(length, t=None):
    """A state with a chain of `length` steps; all images have time `t` if it is given."""
    state = instance_noise.init(SETTINGS, jax.random.key(0))
    state = state._replace(length=jnp.int32(length))
    return state if t is None else state._replace(times=jnp.full(LIST_SIZE, t, jnp.int32))


@pytest.mark.parametrize("length", [2, 10, 437, 1000])
def test_betas_are_linear_over_the_current_chain(length):
    found = instance_noise.alpha_bars(SETTINGS, jnp.int32(length))
    assert found.shape == (1001,) and bool(jnp.isfinite(found).all())
    np.testing.assert_allclose(found[: length + 1], closed_form(length), rtol=2e-5)


def test_diffused_images_have_the_moments_of_the_closed_form():
    n, x_0 = 200_000, 0.7
    x = jnp.full((n, 1), x_0)
    for length, t in ((10, 10), (437, 100), (1000, 1000)):
        y, times = instance_noise.diffuse(SETTINGS, state_at(length, t), jax.random.key(t), x)
        assert times.dtype == jnp.int32 and set(np.unique(times)) == {t}
        alpha_bar = closed_form(length)[t]
        sigma = 0.05 * np.sqrt(1 - alpha_bar)
        assert abs(float(y.mean()) - np.sqrt(alpha_bar) * x_0) < 5 * sigma / np.sqrt(n) + 1e-6
        np.testing.assert_allclose(y.std(), sigma, rtol=5 / np.sqrt(2 * n))


def test_half_of_the_images_are_unchanged():
    x = jax.random.normal(jax.random.key(0), (20_000, 3))
    y, t = instance_noise.diffuse(SETTINGS, state_at(500), jax.random.key(1), x)
    np.testing.assert_array_equal(y[t == 0], x[t == 0])
    assert abs(float(jnp.mean(t == 0)) - 0.5) < 5 * 0.5 / np.sqrt(len(x))
    assert not bool(jnp.any(jnp.all(y == x, axis=1) & (t > 0)))


@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 0.9])
def test_a_growing_share_of_the_images_has_noise(p):
    settings = InstanceNoise(noisy="growing")
    times = instance_noise.draw_times(settings, jax.random.key(0), jnp.int32(50), jnp.float32(p))
    assert times.shape == (LIST_SIZE,) and int(jnp.max(times)) <= 50
    assert int(jnp.sum(times > 0)) == min(round(64 * p), 48)


@pytest.mark.parametrize("timesteps", ["priority", "uniform"])
@pytest.mark.parametrize("length", [10, 37])
def test_times_have_their_distribution(timesteps, length):
    settings = InstanceNoise(timesteps=timesteps, t_max=64)  # a short table: quickly drawn
    keys = jax.random.split(jax.random.key(length), 2_000)
    draw = jax.vmap(lambda key: instance_noise.draw_times(settings, key, jnp.int32(length), 0.0))
    times = np.asarray(jax.jit(draw)(keys))
    assert times.shape == (2_000, LIST_SIZE) and not times[:, :LIST_ZEROS].any()
    counts = np.bincount(times[:, LIST_ZEROS:].ravel(), minlength=length + 1)
    law = np.arange(length) if timesteps == "priority" else np.ones(length)
    law = np.concatenate([[0], law / law.sum()])
    assert counts.shape == law.shape and not counts[law == 0].any()  # none beyond T
    n = counts.sum()
    assert np.all(np.abs(counts / n - law) <= 5 * np.sqrt(law * (1 - law) / n))


def updated(state, *means):
    """The state after one `update` for each mean sign, with 1,000 logits of that mean sign."""
    for i, mean in enumerate(means):
        d_real = jnp.where(jnp.arange(1_000) < round(500 * (1 + mean)), 3.0, -0.1)
        state = instance_noise.update(SETTINGS, state, jax.random.key(i), d_real)
    return state


def test_the_chain_grows_above_the_target_and_shrinks_below():
    start = state_at(10)._replace(p=jnp.float32(0.5))
    move = 1_000 * 4 / 100_000
    for means, direction in (
        ((1.0, 1.0, 1.0, 1.0), +1),
        ((0.7, 0.7, 0.7, 0.7), +1),
        ((1.0, 1.0, 1.0, -0.4), +1),  # 0.65 over the four steps
        ((0.5, 0.5, 0.5, 0.5), -1),
        ((-1.0, 1.0, 1.0, 1.0), -1),
        ((-1.0, -1.0, -1.0, -1.0), -1),
    ):
        after = updated(start, *means)
        np.testing.assert_allclose(after.p, 0.5 + direction * move, rtol=1e-6)
        assert int(after.length) == 10 + round((0.5 + direction * move) * 990)
        assert float(after.signs) == 0 and int(after.steps) == 0


def test_between_updates_only_the_statistics_change():
    start = state_at(10)
    waiting = updated(start, 1.0, 1.0, 1.0)
    assert (float(waiting.signs), int(waiting.steps)) == (3.0, 3)
    for name in ("p", "length", "times"):
        np.testing.assert_array_equal(getattr(waiting, name), getattr(start, name))
    moved = updated(waiting, 1.0)
    assert int(moved.length) == 10 + round(0.04 * 990)
    assert np.any(np.asarray(moved.times) != np.asarray(start.times))
    assert int(moved.times.max()) <= int(moved.length)


def test_p_stays_within_0_and_1():
    assert float(updated(state_at(10), -1.0, -1.0, -1.0, -1.0).p) == 0
    top = state_at(1000)._replace(p=jnp.float32(0.99))
    after = updated(top, 1.0, 1.0, 1.0, 1.0)
    assert float(after.p) == 1 and int(after.length) == 1000


def test_one_compilation_serves_every_chain_length():
    traces = []

    @jax.jit
    def step(state, key, x):
        traces.append(1)
        y, t = instance_noise.diffuse(SETTINGS, state, key, x)
        return instance_noise.update(SETTINGS, state, key, y[:, 0]), t

    x, lengths = jnp.ones((10_000, 1)), []
    state = instance_noise.init(SETTINGS, jax.random.key(0))
    for i in range(12):  # all logits are positive: p rises by 0.4 at each update
        state, t = step(state, jax.random.key(i), x)
        lengths.append(int(state.length))
    assert lengths == [10] * 3 + [406] * 4 + [802] * 4 + [1000]
    assert int(t.max()) > 406 and traces == [1]


def test_gradients_pass_through_the_diffusion():
    x = jax.random.normal(jax.random.key(0), (64, 2))
    see = functools.partial(instance_noise.diffuse, SETTINGS, state_at(300), jax.random.key(1))
    gradient = jax.grad(lambda x: jnp.sum(see(x)[0]))(x)
    t = np.asarray(see(x)[1])
    expected = np.sqrt(closed_form(300)[np.minimum(t, 300)])[:, None]
    np.testing.assert_allclose(gradient, np.broadcast_to(expected, x.shape), rtol=1e-5)


def test_the_defaults_of_configs_are_those_of_the_functions():
    networks = dict(gen={}, disc={}, lr_gen=1.0, lr_disc=1.0, r1_gamma=0.0, r1_every=1)
    config = diffusion_gan(noise="image", **networks)
    assert config.instance_noise.to_dict() == InstanceNoise()._asdict()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(t_min=1), "t_min is 1; an integer from 2 to config.instance_noise.t_max = 1000"),
        (dict(t_min=20, t_max=10), "t_min is 20; an integer from 2 to"),
        (dict(beta_min=0.03), "beta_max is 0.02; 0 < beta_min <= beta_max < 1"),
        (dict(beta_max=1 - 1e-9), "beta_max is 0.999999999; 0 < beta_min <= beta_max < 1"),
        (dict(beta_max=float("nan")), "beta_max is nan"),
    ],
)
def test_settings_of_degenerate_chains_are_refused(settings, words):
    with pytest.raises(UserError) as error:
        instance_noise.init(InstanceNoise(**settings), jax.random.key(0))
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.slow
def test_the_example_in_the_documents_runs_and_its_chain_grows():
    text = (ROOT / "docs" / "diffusion_gan_for_others.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict = {}
    exec(compile(code, "docs/diffusion_gan_for_others.md", "exec"), names)
    assert int(names["noise"].length) > SETTINGS.t_min
    weights = jax.tree.leaves(names["weights"])
    assert weights and all(bool(jnp.isfinite(w).all()) for w in weights)
