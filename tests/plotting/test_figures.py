"""Explanatory figures: Bayes' rule, moments of the chains, and the files of the command."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_methods
import tiny_runs as runs
from PIL import Image

from ddgan_jax.cli import figures, main
from ddgan_jax.core.errors import UserError
from ddgan_jax.diffusion import schedules
from ddgan_jax.diffusion.denoising_density import (
    EXAMPLE,
    Mixture,
    denoising_density,
    density,
    diffused,
    modes,
)
from ddgan_jax.diffusion.forward_views import chain, discriminator_views
from ddgan_jax.diffusion.instance_noise import InstanceNoise
from ddgan_jax.inference.sampling import sample_keys, sampling_params

GRID = EXAMPLE.grid


@pytest.mark.parametrize("beta", EXAMPLE.betas)
def test_densities_integrate_to_one(beta):
    for alpha_bar in (1.0, 0.5):
        q = denoising_density(EXAMPLE.data, GRID, 0.3, beta, alpha_bar)
        assert (q >= 0).all() and np.trapezoid(q, GRID) == pytest.approx(1, abs=1e-9)
        noisy = density(diffused(EXAMPLE.data, alpha_bar), GRID)
        assert np.trapezoid(noisy, GRID) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("alpha_bar", [1.0, 0.4])
@pytest.mark.parametrize("beta", [0.01, 0.5, 0.9])
def test_one_gaussian_has_a_closed_form(beta, alpha_bar):
    """With a Gaussian prior and a Gaussian step, precisions add."""
    mean, std, x_t = 0.7, 0.5, -0.2
    prior_mean, prior_var = alpha_bar**0.5 * mean, alpha_bar * std**2 + 1 - alpha_bar
    precision = 1 / prior_var + (1 - beta) / beta
    center = (prior_mean / prior_var + (1 - beta) ** 0.5 * x_t / beta) / precision
    exact = np.exp(-0.5 * precision * (GRID - center) ** 2) * np.sqrt(precision / (2 * np.pi))
    one = Mixture(np.ones(1), np.array([mean]), np.array([std]))
    found = denoising_density(one, GRID, x_t, beta, alpha_bar)
    np.testing.assert_allclose(found, exact, atol=1e-3 * exact.max())
    assert modes(found) == 1


def test_bayes_rule_gives_back_the_marginal():
    """Averaged over x_t, q(x_{t-1} | x_t) is q(x_{t-1})."""
    beta, alpha_bar = 0.3, 0.6
    noisy = density(diffused(EXAMPLE.data, alpha_bar * (1 - beta)), GRID)[::20]
    mixed = sum(
        weight * denoising_density(EXAMPLE.data, GRID, x_t, beta, alpha_bar)
        for weight, x_t in zip(noisy / noisy.sum(), GRID[::20], strict=True)
    )
    wanted = density(diffused(EXAMPLE.data, alpha_bar), GRID)
    np.testing.assert_allclose(mixed, wanted, atol=1e-3 * wanted.max())


def test_larger_steps_have_more_modes():
    found = [
        modes(denoising_density(EXAMPLE.data, GRID, EXAMPLE.x_t, beta)) for beta in EXAMPLE.betas
    ]
    assert found == sorted(found) and found[0] == 1 and found[-1] == len(EXAMPLE.data.means)


def test_the_chain_has_the_moments_of_the_diffusion():
    betas = schedules.variance_preserving_betas(4)
    images = jnp.full((20_000, 1, 1, 1), 0.5)
    x = np.asarray(chain(jax.random.key(0), images, betas)).reshape(5, -1)
    tables = schedules.forward_tables(betas)
    np.testing.assert_array_equal(x[0], 0.5)
    np.testing.assert_allclose(x.mean(axis=1), 0.5 * tables.sqrt_alpha_bar, atol=0.03)
    np.testing.assert_allclose(x.std(axis=1), tables.sigma_bar, atol=0.02)
    for t in range(4):  # x_t is one small step from x_{t-1}, not from x_0
        residual = x[t + 1] - tables.sqrt_alpha[t + 1] * x[t]
        np.testing.assert_allclose(residual.std(), tables.sigma[t + 1], atol=0.02)
        assert abs(np.mean(residual * (x[t] - x[t].mean()))) < 0.03


def test_views_of_the_discriminator():
    settings, times = InstanceNoise(), (0, 300, 1000)
    images = jnp.full((20_000, 1, 1, 1), 0.5)
    views = jax.jit(lambda x: discriminator_views(settings, jax.random.key(0), x, times))(images)
    x = np.asarray(views).reshape(3, -1)
    np.testing.assert_array_equal(x[0], 0.5)
    betas = np.linspace(settings.beta_min, settings.beta_max, settings.t_max)
    for view, t in zip(x, times, strict=True):
        alpha_bar = np.prod(1 - betas[:t])
        np.testing.assert_allclose(view.mean(), 0.5 * alpha_bar**0.5, atol=2e-3)
        np.testing.assert_allclose(view.std(), 0.05 * (1 - alpha_bar) ** 0.5, atol=2e-3)


def test_intermediate_images_end_in_the_sample():
    """DifGAN's trajectory starts from noise."""
    case = tiny_methods.Case(*tiny_methods.CASES["difgan-mlp"])

    class Model:
        method, config, frozen = case.method, case.config, ()
        params = sampling_params(case.start)

    x = figures.intermediate_images(Model, 3)
    assert x.shape == (3, 3, 4, 4, 1)
    keys = sample_keys(jax.random.key(0), 0, 3)
    np.testing.assert_allclose(x[-1], case.method.sample(case.start.ema, keys, ()), atol=1e-5)
    Model.method = case.method._replace(trajectory=None)
    with pytest.raises(UserError, match="'difgan' does not show its intermediate images"):
        figures.intermediate_images(Model, 3)


def size_of(path):
    with Image.open(path) as picture:
        return picture.size


def test_the_command(tmp_path, capsys):
    assert main(["figures", f"--out={tmp_path}"]) == 0
    sizes = {path.name: size_of(path) for path in tmp_path.iterdir()}
    assert sizes["forward_ddgan.png"] == (5 * 68 + 4, 8 * 68 + 4)
    assert sizes["forward_diffusion_gan.png"] == (5 * 68 + 4, 8 * 68 + 4)
    assert sizes["denoising_density.png"][0] > 1000 and sizes["density_over_time.png"][0] > 1000
    assert sizes["reconstruction_weight.png"] == (506, 330) and len(sizes) == 5
    capsys.readouterr()
    toy = f"--config={runs.ROOT}/configs/ddgan_toy2d.py"
    for flag, words in ((toy, ("gaussians25", "images")), ("--workdir=nowhere", ("nowhere",))):
        assert main(["figures", f"--out={tmp_path}", flag]) == 1
        runs.one_line(capsys.readouterr().err, words)
