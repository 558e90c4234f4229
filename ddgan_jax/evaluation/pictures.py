"""Figures of the comparison page: curves, quality against sampling time, samples side by side."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.images import open_image
from ddgan_jax.evaluation.convergence import Lines, tradeoff
from ddgan_jax.plotting import curves
from ddgan_jax.plotting.tradeoff import draw_side_by_side, draw_tradeoff

SIDE = 640  # pixels of a picture of samples, at most


def draw_curves(
    out: Path, evaluations: Mapping[str, Lines], losses: Mapping[str, Lines]
) -> dict[str, Path]:
    """Draw metrics over images and over time, and losses over images.

    Args:
      out: folder of the figures.
      evaluations: name of the run -> lines of evaluation.jsonl.
      losses: name of the run -> lines of metrics.jsonl.

    Returns:
      {caption: PNG}.
    """
    figures = {}
    for axis, words in curves.AXES.items():
        if evaluations:
            path = out / f"metrics_over_{axis}.png"
            curves.draw(path, evaluations, axis)
            figures[f"Metrics over {words}"] = path
    if losses:
        path = out / "losses_over_images.png"
        only = {run: [_only_losses(line) for line in lines] for run, lines in losses.items()}
        curves.draw(path, only, "images")
        figures["Losses over training images"] = path
    return figures


def _only_losses(line: Mapping[str, float]) -> dict[str, float]:
    return {k: v for k, v in line.items() if k.endswith("/loss") or k in curves.NOT_METRICS}


def draw_quality_over_time(
    out: Path, metrics: Mapping[str, Mapping[str, float]], seconds: Mapping[str, float]
) -> dict[str, Path]:
    """Draw the Fréchet distance of each run against its time to sample 100 images.

    Args:
      out: folder of the figure.
      metrics: name of the run -> the numbers of its report.
      seconds: name of the run -> seconds to sample 100 images, if they were measured.

    Returns:
      {caption: PNG}; {} for fewer than two runs with both numbers.
    """
    name, points = tradeoff(metrics, seconds)
    if len(points) < 2:
        return {}
    path, shown = out / "quality_over_time.png", name.replace("_", " ")
    draw_tradeoff(path, points, "seconds to sample 100 images", shown)
    return {f"{shown} against sampling time": path}


def draw_samples(out: Path, grids: Mapping[str, Path]) -> dict[str, Path]:
    """Draw the sample grids of several runs side by side; damaged ones are left out.

    Args:
      out: folder of the figure.
      grids: name of the run -> its sample grid, a PNG file.

    Returns:
      {caption: PNG}; {} for fewer than two grids.
    """
    pictures: dict[str, np.ndarray] = {}
    for run, path in grids.items():
        try:
            with path.open("rb") as file, open_image(file, str(path)) as image:
                shown = image.convert("RGB")
                shown.thumbnail((SIDE, SIDE))
                pictures[run] = np.asarray(shown)
        except (UserError, OSError):
            continue
    if len(pictures) < 2:
        return {}
    path = out / "samples_side_by_side.png"
    draw_side_by_side(path, pictures)
    return {"Samples side by side": path}
