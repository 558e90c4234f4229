"""Figures that explain the family: why few steps need a GAN, and what noise does to images.

  python -m ddgan_jax.figures --out=docs
The images are the digits that the package ships, or those of a config's data:
  python -m ddgan_jax.figures --out=figures --config=configs/ddgan_mnist.py
With a run of a method that passes through images (DifGAN, DDDG), those too:
  python -m ddgan_jax.figures --out=figures --workdir=runs/difgan_digits
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ddgan_jax.config.base import base
from ddgan_jax.config.overrides import load_config_file
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.random import sample_keys
from ddgan_jax.data import load_source
from ddgan_jax.diffusion import schedules
from ddgan_jax.diffusion.denoising_density import Mixture, denoising_density, density, diffused
from ddgan_jax.diffusion.forward_views import chain, discriminator_views
from ddgan_jax.diffusion.instance_noise import InstanceNoise
from ddgan_jax.inference.model import Model, load
from ddgan_jax.io.run_folder import atomically, check_writable
from ddgan_jax.main import main, quieten
from ddgan_jax.plotting import grids as plots
from ddgan_jax.spaces.pixels import pixels

SHOWN = 8  # images, one a row
STEPS = 4  # of DDGAN's chain
VIEWS = (0, 125, 250, 500, 1000)  # times of Diffusion-GAN's chain
DATA = Mixture(np.full(4, 0.25), np.array([-1.5, -0.5, 0.5, 1.5]), np.full(4, 0.1))
X_T = 0.1  # what is known, between two bumps of the data
BETAS = (0.005, 0.1, 0.4, 0.8)  # variances of the step
GRID = np.linspace(-4.0, 4.0, 4001)


def draw_densities(path: Path) -> None:
    """Write a PNG: the data's density and, for every step size, q(x_{t-1} | x_t = X_T)."""
    # The object-oriented interface: no global state, no display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * (len(BETAS) + 1), 2.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(BETAS) + 1)
    panels[0].fill_between(GRID, density(DATA, GRID), color="tab:grey", alpha=0.6)
    panels[0].set_title("data, $q(x_{t-1})$", fontsize=10)
    for panel, beta in zip(panels[1:], BETAS, strict=True):
        panel.fill_between(GRID, denoising_density(DATA, GRID, X_T, beta), alpha=0.6)
        noisy = density(diffused(DATA, 1 - beta), GRID)
        panel.plot(GRID, noisy * panel.get_ylim()[1] / noisy.max() / 4, "--", color="tab:grey")
        panel.axvline(X_T, color="black", linewidth=0.8)
        panel.set_title(rf"$q(x_{{t-1}}\,|\,x_t = {X_T})$, $\beta_t = {beta}$", fontsize=10)
    for panel in panels:
        panel.set_yticks([])
        panel.set_ylim(bottom=0)
        panel.set_xlim(-2.5, 2.5)
        panel.tick_params(labelsize=8)
    with atomically(path) as temporary:
        figure.savefig(temporary, dpi=110)


def write_rows(path: Path, over_time: np.ndarray | jax.Array) -> None:
    """Write a PNG of images [K, N, H, W, C]: a row for each of the N, time to the right."""
    rows = np.moveaxis(np.asarray(over_time), 0, 1)
    picture = plots.image_grid(rows.reshape(-1, *rows.shape[2:]), columns=rows.shape[1])
    with atomically(path) as temporary:
        plots.save_png(temporary, picture)


def intermediate_images(model: Model, count: int, seed: int = 0) -> np.ndarray:
    """What samples pass through, from the prior to the image: float32 [K, count, H, W, C].

    Raises:
      UserError: the method has no such path.
    """
    prior = model.method.prior
    if prior is None:
        raise UserError(f"method {model.config.method!r} has no path; 'difgan' and 'dddg' have")
    latents, labels = prior(sample_keys(jax.random.key(seed), 0, count))
    return np.moveaxis(model.path(np.asarray(latents), np.asarray(labels))[0], 0, 1)


def write(out: Path, config: str, workdir: str) -> None:
    """All figures into the folder `out`.

    Raises:
      UserError: wrong flags, data that is not there or is no images, nowhere to write.
    """
    data = load_config_file(config).data if config else base().data
    source = load_source(data)
    if len(source.shape) != 3:
        raise UserError(f"config.data.name is {data.name!r}; images are needed for figures")
    model = load(workdir) if workdir else None
    check_writable("--out", out)
    stored = source.take(np.arange(min(SHOWN, source.size)))["image"]
    images = pixels(source.shape).encode(jnp.asarray(stored), ())
    key, betas = jax.random.key(0), schedules.variance_preserving_betas(STEPS)
    draw_densities(out / "denoising_density.png")
    write_rows(out / "forward_ddgan.png", chain(key, images, betas))
    views = discriminator_views(InstanceNoise(), key, images, VIEWS)
    write_rows(out / "forward_diffusion_gan.png", views)
    if model is not None:
        write_rows(out / "path.png", intermediate_images(model, SHOWN))


def run(argv: Sequence[str]) -> int:
    """Parse, draw; returns the exit status."""
    parser = argparse.ArgumentParser(
        "python -m ddgan_jax.figures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER")
    parser.add_argument("--config", default="", help="whose data to show; default: the digits")
    parser.add_argument("--workdir", default="", help="run folder: show its intermediate images")
    args = parser.parse_args(argv)
    quieten()
    write(args.out, args.config, args.workdir)
    return 0


if __name__ == "__main__":
    sys.exit(main(command=run))
