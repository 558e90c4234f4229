"""Figures that explain the methods: densities, weights over the epochs, images over time."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ddgan_jax.diffusion.denoising_density import Mixture, denoising_density, density, diffused
from ddgan_jax.io.run_folder import atomically
from ddgan_jax.plotting import grids


def draw_densities(
    path: Path, data: Mixture, x_t: float, betas: Sequence[float], grid: np.ndarray
) -> None:
    """Write a PNG with the density of the data and, per step size, q(x_{t-1} | x_t).

    Args:
      path: path of the PNG.
      data: the distribution q(x_{t-1}).
      x_t: value of the noisy sample.
      betas: variances of the step, one panel each.
      grid: increasing values of x, float64 [K].

    Raises:
      OSError: the file cannot be written.
    """
    # matplotlib's object-oriented interface needs no display and has no global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * (len(betas) + 1), 2.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(betas) + 1)
    panels[0].fill_between(grid, density(data, grid), color="tab:gray", alpha=0.6)
    panels[0].set_title("data, $q(x_{t-1})$", fontsize=10)
    for panel, beta in zip(panels[1:], betas, strict=True):
        panel.fill_between(grid, denoising_density(data, grid, x_t, beta), alpha=0.6)
        noisy = density(diffused(data, 1 - beta), grid)
        panel.plot(grid, noisy * panel.get_ylim()[1] / noisy.max() / 4, "--", color="tab:gray")
        panel.axvline(x_t, color="black", linewidth=0.8)
        panel.set_title(rf"$q(x_{{t-1}}\,|\,x_t = {x_t})$, $\beta_t = {beta}$", fontsize=10)
    for panel in panels:
        panel.set_yticks([])
        panel.set_ylim(bottom=0)
        panel.set_xlim(-2.5, 2.5)
        panel.tick_params(labelsize=8)
    with atomically(path) as temporary:
        figure.savefig(temporary, dpi=110)


def draw_evolution(path: Path, data: Mixture, betas: Sequence[float], grid: np.ndarray) -> None:
    """Write a PNG with q(x_0), ..., q(x_T), a panel each (Xiao et al. 2022, figure 1, top).

    Args:
      path: path of the PNG.
      data: the distribution q(x_0).
      betas: beta_1..beta_T, [T].
      grid: increasing values of x, float64 [K].

    Raises:
      OSError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    alpha_bar = np.concatenate([[1.0], np.cumprod(1 - np.asarray(betas, np.float64))])
    figure = Figure(figsize=(1.8 * len(alpha_bar), 2.2), layout="constrained")
    FigureCanvasAgg(figure)
    for t, panel in enumerate(figure.subplots(1, len(alpha_bar))):
        panel.fill_between(grid, density(diffused(data, alpha_bar[t]), grid), alpha=0.6)
        panel.set_title(f"$q(x_{{{t}}})$", fontsize=10)
        panel.set_yticks([])
        panel.set_ylim(bottom=0)
        panel.set_xlim(-3, 3)
        panel.tick_params(labelsize=8)
    with atomically(path) as temporary:
        figure.savefig(temporary, dpi=110)


def draw_weights(path: Path, weights: Mapping[str, np.ndarray]) -> None:
    """Write a PNG of weights over the epochs of a run (Trinh and Hamagami 2024, figure 2).

    Args:
      path: path of the PNG.
      weights: label -> weight in epoch 0, 1, ..., float [E].

    Raises:
      OSError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    for label, values in weights.items():
        panel.plot(values, label=label)
    panel.set_xlabel("epoch", fontsize=9)
    panel.set_ylabel(r"weight $\lambda$ of the reconstruction loss", fontsize=9)
    panel.legend(fontsize=8)
    panel.grid(alpha=0.3)
    with atomically(path) as temporary:
        figure.savefig(temporary, dpi=110)


def draw_rows(path: Path, over_time: np.ndarray) -> None:
    """Write a PNG of images over time: a row per image, with time to the right.

    Args:
      path: path of the PNG.
      over_time: [K, N, H, W, C], uint8 or floats in [-1, 1]; K times of N images.

    Raises:
      OSError: the file cannot be written.
    """
    rows = np.moveaxis(np.asarray(over_time), 0, 1)
    picture = grids.image_grid(rows.reshape(-1, *rows.shape[2:]), columns=rows.shape[1])
    grids.save_png(path, picture)
