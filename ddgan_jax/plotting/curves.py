"""Curves of metrics over training, drawn with matplotlib."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ddgan_jax.io.run_folder import atomically

Lines = Sequence[Mapping[str, float]]  # of a JSONL file, name -> value
AXES = {"images": "training images", "seconds": "seconds of training"}
NOT_METRICS = ("step", "images", "seconds", "images_per_second")


def metrics_of(lines: Lines) -> list[str]:
    """Names of the metrics in the lines, without standard deviations."""
    names = dict.fromkeys(name for line in lines for name in line)
    return [name for name in names if name not in NOT_METRICS and "_std" not in name]


def draw(path: Path, runs: Mapping[str, Lines], axis: str) -> None:
    """Write a PNG with a panel per metric and, in each panel, a curve per run.

    Args:
      path: path of the PNG.
      runs: name of the run -> lines of its metrics, which also have the value of `axis`.
      axis: horizontal axis, a key of `AXES`.

    Raises:
      OSError: the file cannot be written.
    """
    # matplotlib's object-oriented interface needs no display and has no global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for lines in runs.values() for name in metrics_of(lines)))
    columns = min(3, max(len(names), 1))
    rows = -(-len(names) // columns) or 1
    figure = Figure(figsize=(4.2 * columns, 3.1 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    for panel, name in zip(panels, names, strict=False):
        for run, lines in runs.items():
            points = [(line[axis], line[name]) for line in lines if name in line and axis in line]
            if points:
                panel.plot(*zip(*points, strict=True), marker=".", label=run)
        panel.set_title(name, fontsize=10)
        panel.set_xlabel(AXES[axis], fontsize=8)
        panel.tick_params(labelsize=8)
        panel.grid(alpha=0.3)
    if len(runs) > 1 and names:
        panels[0].legend(fontsize=8)
    with atomically(path) as temporary:
        figure.savefig(temporary, dpi=110)
