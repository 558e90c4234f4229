"""Runs as points in a plane, and pictures of runs side by side, drawn with matplotlib."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ddgan_jax.io.run_folder import atomically
from ddgan_jax.plotting.curves import MOST_CURVES, short


def draw_tradeoff(
    path: Path, points: Mapping[str, tuple[float, float]], x_label: str, y_label: str
) -> None:
    """Write a PNG with a labeled point for each run; the horizontal axis is logarithmic.

    Of more than `MOST_CURVES` runs, the first are drawn.

    Args:
      path: path of the PNG.
      points: name of the run -> (x, y), x > 0.
      x_label, y_label: labels of the axes.

    Raises:
      OSError: the file cannot be written.
    """
    # matplotlib's object-oriented interface needs no display and has no global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    for name, (x, y) in list(points.items())[:MOST_CURVES]:
        panel.plot([x], [y], marker="o")
        label = panel.annotate("", (x, y), xytext=(5, 4), textcoords="offset points", fontsize=8)
        label.set_parse_math(False)
        label.set_text(short(name))
    panel.set_xscale("log")
    for axis, text in ((panel.xaxis, x_label), (panel.yaxis, y_label)):
        axis.label.set_parse_math(False)
        axis.set_label_text(short(text), fontsize=9)
    panel.margins(0.2)
    panel.grid(alpha=0.3)
    _save(figure, path)


def draw_side_by_side(path: Path, pictures: Mapping[str, np.ndarray]) -> None:
    """Write a PNG of the pictures of several runs, side by side under their names.

    Args:
      path: path of the PNG.
      pictures: name of the run -> uint8 [H, W, 3]; of more than `MOST_CURVES`, the first are drawn.

    Raises:
      OSError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = dict(list(pictures.items())[:MOST_CURVES])
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(3.2 * columns, 3.4 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    for panel, (name, picture) in zip(panels, shown.items(), strict=False):
        panel.imshow(picture, interpolation="nearest")
        panel.set_title(short(name), fontsize=10, parse_math=False)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    with atomically(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of glyphs that the font does not have
        figure.savefig(temporary, dpi=130)
