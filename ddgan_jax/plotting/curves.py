"""Curves of metrics over training, drawn with matplotlib."""

import itertools
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ddgan_jax.io.run_folder import atomically

Lines = Sequence[Mapping[str, float]]  # of a JSONL file, name -> value
AXES = {"images": "training images", "seconds": "seconds of training"}
MOST_PANELS, MOST_CURVES = 30, 40
_CHARACTERS = 50  # of a legend, in the width of a panel
_SYMBOL = 7  # characters that the symbol of a name takes
_ROW_OF_LEGEND = 0.22  # inches
NOT_METRICS = ("step", "images", "seconds", "images_per_second", "samples", "protocol")


def metrics_of(lines: Lines) -> list[str]:
    """Names of the metrics in the lines, without standard deviations."""
    names = dict.fromkeys(name for line in lines for name in line)
    return [name for name in names if name not in NOT_METRICS and "_std" not in name]


def draw(path: Path, runs: Mapping[str, Lines], axis: str) -> None:
    """Write a PNG with a panel per metric and, in each panel, a curve per run.

    One legend below the panels belongs to all of them. Names are drawn as they are, also if they
    look like TeX. Of more than `MOST_PANELS` metrics or `MOST_CURVES` runs, the first are drawn.

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

    runs = dict(itertools.islice(runs.items(), MOST_CURVES))
    names = list(dict.fromkeys(name for lines in runs.values() for name in metrics_of(lines)))
    names = names[:MOST_PANELS]
    columns = min(3, max(len(names), 1))
    rows = -(-len(names) // columns) or 1
    named = [short(run) for run in runs] if len(runs) > 1 else []
    widest = max(map(len, named), default=1) + _SYMBOL
    per_row = max(min(int(_CHARACTERS * columns / widest), len(named)), 1)
    height = 3.1 * rows + _ROW_OF_LEGEND * -(-len(named) // per_row)
    figure = Figure(figsize=(4.2 * columns, height), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    drawn: dict[str, Any] = {}
    for panel, name in zip(panels, names, strict=False):
        for run, lines in runs.items():
            points = [(line[axis], line[name]) for line in lines if name in line and axis in line]
            if points:
                (curve,) = panel.plot(*zip(*points, strict=True), marker=".")
                drawn.setdefault(run, curve)
        panel.set_title(short(name), fontsize=10, parse_math=False)
        panel.set_xlabel(AXES[axis], fontsize=8)
        panel.tick_params(labelsize=8)
        panel.grid(alpha=0.3)
    if len(runs) > 1 and names:
        # A label that begins with "_" would be left out, so the texts are set afterwards.
        labels = [str(i) for i in range(len(drawn))]
        legend = figure.legend(
            list(drawn.values()), labels, loc="outside lower left", ncols=per_row, fontsize=9
        )
        for text, run in zip(legend.get_texts(), drawn, strict=True):
            text.set_parse_math(False)
            text.set_text(short(run))
    with atomically(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of glyphs that the font does not have
        figure.savefig(temporary, dpi=110)


def short(name: str) -> str:
    """At most 60 characters of a name, without line breaks and control characters."""
    shown = "".join(c if c.isprintable() else "?" for c in name[:60])
    return shown if len(name) <= 60 else shown[:57] + "..."
