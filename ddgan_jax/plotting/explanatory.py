"""Figures that explain the methods: densities of one denoising step, images over time."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ddgan_jax.diffusion.denoising_density import Mixture, denoising_density, density, diffused
from ddgan_jax.io.run_folder import atomically
from ddgan_jax.plotting import grids


def draw_densities(
    path: Path, data: Mixture, x_t: float, betas: Sequence[float], grid: np.ndarray
) -> None:
    """Write a PNG: the density of the data and, for every step size, q(x_{t-1} | x_t).

    Args:
      path: the PNG.
      data: q(x_{t-1}).
      x_t: where the noisy sample is.
      betas: variances of the step, one panel each.
      grid: increasing x, float64 [K].
    """
    # The object-oriented interface: no global state, no display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * (len(betas) + 1), 2.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(betas) + 1)
    panels[0].fill_between(grid, density(data, grid), color="tab:grey", alpha=0.6)
    panels[0].set_title("data, $q(x_{t-1})$", fontsize=10)
    for panel, beta in zip(panels[1:], betas, strict=True):
        panel.fill_between(grid, denoising_density(data, grid, x_t, beta), alpha=0.6)
        noisy = density(diffused(data, 1 - beta), grid)
        panel.plot(grid, noisy * panel.get_ylim()[1] / noisy.max() / 4, "--", color="tab:grey")
        panel.axvline(x_t, color="black", linewidth=0.8)
        panel.set_title(rf"$q(x_{{t-1}}\,|\,x_t = {x_t})$, $\beta_t = {beta}$", fontsize=10)
    for panel in panels:
        panel.set_yticks([])
        panel.set_ylim(bottom=0)
        panel.set_xlim(-2.5, 2.5)
        panel.tick_params(labelsize=8)
    with atomically(path) as temporary:
        figure.savefig(temporary, dpi=110)


def draw_rows(path: Path, over_time: np.ndarray) -> None:
    """Write a PNG of images [K, N, H, W, C]: a row for each of the N, time to the right."""
    rows = np.moveaxis(np.asarray(over_time), 0, 1)
    picture = grids.image_grid(rows.reshape(-1, *rows.shape[2:]), columns=rows.shape[1])
    with atomically(path) as temporary:
        grids.save_png(temporary, picture)
