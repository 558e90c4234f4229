"""A page that compares evaluated runs, made by the command `compare`.

The page is a folder with `index.html` (a single file with embedded pictures), `comparison.md` and
the figures. It shows the reports that the command `evaluate` wrote into the run folders, the
metrics of all runs after equal numbers of images and after equal time, and the keys of the protocol
in which the evaluations differ.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddgan_jax.config.stored import read_config
from ddgan_jax.core.errors import UserError
from ddgan_jax.evaluation import markdown, pictures
from ddgan_jax.evaluation.convergence import converged
from ddgan_jax.evaluation.page import html_page, picture_of
from ddgan_jax.evaluation.ranking import Cells, Table, best_cells
from ddgan_jax.io import run_folder
from ddgan_jax.io.read_json import COUNT, NUMBER, NUMBERS, TABLE, TEXT, read_json, read_lines
from ddgan_jax.io.storage import check_inside
from ddgan_jax.plotting import curves
from ddgan_jax.training.metrics_log import duration

# Keys of the protocol that must agree for numbers to be comparable.
PROTOCOL = ("samples", "reference", "extractors", "digits_read_by", "weights", "rounding")

# Of the tables of the page.
HEADINGS = (
    *("Runs", "Quality", "Over seeds", "After equally many images", "After equal time"),
    "When the runs converged",
)
_OF_THE_RUN = 6  # first columns of the main table, and its last one, which are no metrics


class RunSummary(NamedTuple):
    """One run of the page.

    Attributes:
      name: name of the run folder.
      report: contents of evaluation.json.
      info: contents of info.json.
      curve: lines of evaluation.jsonl, one for each evaluation during training.
      losses: lines of metrics.jsonl.
      grid: the last sample grid, a PNG file; None if there is none.
    """

    name: str
    report: dict[str, Any]
    info: dict[str, Any]
    curve: list[dict[str, float]]
    losses: list[dict[str, float]]
    grid: Path | None


def read_summary(workdir: Path) -> RunSummary:
    """Read an evaluated run.

    Args:
      workdir: the run folder.

    Raises:
      UserError: not a run folder, not evaluated, or damaged.
    """
    read_config(workdir)
    path = workdir / "evaluation.json"
    if not path.is_file():
        raise UserError(
            f"--runs: {workdir} has no evaluation.json; an evaluated run is needed: run "
            f"python -m ddgan_jax evaluate --workdir={workdir}"
        )
    optional = {
        "protocol.images_seen": COUNT,
        "protocol.method": TEXT,
        "speed": TABLE,
        "speed.seconds": NUMBER,
        "speed.nfe": COUNT,
    }
    report = read_json(path, {"metrics": NUMBERS, "protocol": TABLE}, optional, workdir)
    grids = sorted((workdir / "samples").glob("step_*.png"))
    made = workdir / "samples" / "samples.png"
    grid = grids[-1] if grids else made if made.exists() else None
    if grid:
        check_inside(grid, workdir)
        picture_of(grid)
    return RunSummary(
        markdown.printable(workdir.resolve().name),
        report,
        run_folder.read_info(workdir),
        [line for line in read_lines(workdir / "evaluation.jsonl", workdir) if _has_axes(line)],
        [line for line in read_lines(workdir / "metrics.jsonl", workdir) if _has_axes(line)],
        grid,
    )


def _has_axes(line: Mapping[str, float]) -> bool:
    return all(0 <= line.get(axis, -1) < 1e15 for axis in curves.AXES)


def rows_of(runs: Sequence[RunSummary]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the main table, one row per run."""
    found = dict.fromkeys(name for run in runs for name in run.report["metrics"])
    names = [name for name in found if "_std" not in name]
    header = ["run", "method", "parameters", "training images", "training time", "NFE"]
    header += [*(name.replace("_", " ") for name in names), "s / 100 samples"]
    rows = []
    for run in runs:
        report, speed = run.report, run.report.get("speed", {})
        last = run.losses[-1] if run.losses else {}
        parameters = run.info.get("parameters", {})
        row = [
            run.name,
            report["protocol"].get("method", ""),
            ", ".join(f"{role} {count:,}" for role, count in parameters.items()),
            _count(report["protocol"].get("images_seen")),
            duration(last["seconds"]) if "seconds" in last else "",
            str(speed.get("nfe", "")),
            *(_cell(report["metrics"], name) for name in names),
            f"{speed['seconds']:.3g}" if "seconds" in speed else "",
        ]
        rows.append(row)
    return header, rows


def over_seeds(runs: Sequence[RunSummary]) -> list[list[str]]:
    """A table of mean, min, max of each metric over runs named NAME_seedN, as by launch/compare.sh.

    Runs are grouped by NAME; their configs are not compared.

    Returns:
      The table with its header first; empty if no NAME has two runs.
    """
    groups: dict[str, list[dict[str, float]]] = {}
    for run in runs:
        name, seed, number = run.name.rpartition("_seed")
        if seed and number.isdecimal():
            groups.setdefault(name, []).append(run.report["metrics"])
    if all(len(group) < 2 for group in groups.values()):
        return []
    found = dict.fromkeys(n for group in groups.values() for metrics in group for n in metrics)
    names = [name for name in found if "_std" not in name]
    table = [["over seeds", "runs", *(name.replace("_", " ") for name in names)]]
    for group_name, group in groups.items():
        row = [group_name, str(len(group))]
        for name in names:
            values = [metrics[name] for metrics in group if name in metrics]
            spread = f" ({min(values):.4g} to {max(values):.4g})" if len(values) > 1 else ""
            row.append(f"{sum(values) / len(values):.4g}{spread}" if values else "")
        table.append(row)
    return table


def at_equal(runs: Sequence[RunSummary], axis: str) -> list[list[str]]:
    """A table of the metrics of all runs at the point where the shortest run ended.

    Each row has the last evaluation during training up to that point.

    Args:
      runs: the runs.
      axis: the length of a run, a key of `curves.AXES`: "images" or "seconds".

    Returns:
      The table with its header first; empty if fewer than two runs were evaluated during training.
    """
    by_name = {run.name: run.curve for run in runs if run.curve}
    if len(by_name) < 2:
        return []
    end = min(curve[-1][axis] for curve in by_name.values())
    names = curves.metrics_of([line for curve in by_name.values() for line in curve])
    until = f"{end:,.0f} images" if axis == "images" else duration(end)
    table = [[f"after {until}", "step", *(name.replace("_", " ") for name in names)]]
    for run_name, curve in by_name.items():
        last = next((line for line in reversed(curve) if line[axis] <= end), {})
        step = f"{last['step']:,.0f}" if last else ""
        table.append([run_name, step, *(_cell(last, name) for name in names)])
    return table


def _count(number: Any) -> str:
    """A number with commas; "" if it is not known."""
    return f"{number:,}" if isinstance(number, int) else ""


def _cell(metrics: Mapping[str, float], name: str) -> str:
    """A metric as text, with its standard deviation if it has one."""
    if name not in metrics:
        return ""
    deviation = _deviation_of(name, metrics)
    if deviation in metrics:
        return f"{metrics[name]:.4g} ± {metrics[deviation]:.2g}"
    return f"{metrics[name]:.4g}"


def _deviation_of(name: str, metrics: Iterable[str]) -> str:
    """The metric that is the standard deviation of another, "" if there is none.

    "kid_std" belongs to "kid", and "kid_std_mnist_classifier" to "kid_mnist_classifier".
    """
    return next((m for m in metrics if "_std" in m and m.replace("_std", "", 1) == name), "")


def differences(runs: Sequence[RunSummary]) -> list[str]:
    """One line for each key of `PROTOCOL` in which the runs differ.

    Numbers of such runs are not comparable.
    """
    lines = []
    for field in PROTOCOL:
        values = {run.name: json.dumps(run.report["protocol"].get(field)) for run in runs}
        if len(set(values.values())) > 1:
            said = "; ".join(f"{name}: {value}" for name, value in values.items())
            lines.append(f"protocols differ in {field}: {said}")
    return lines


def compare(workdirs: Sequence[Path], out: Path, say: Callable[[str], None] = print) -> None:
    """Write the page and print its tables.

    Args:
      workdirs: run folders.
      out: folder of the page.
      say: prints a text.

    Raises:
      UserError: fewer than two runs, a run that is not evaluated, two runs with the same name, or
        `out` cannot be written to.
    """
    if len(workdirs) < 2:
        raise UserError(
            f"--runs is {','.join(map(str, workdirs))!r}; two or more run folders, separated by "
            "commas, are needed"
        )
    runs = [read_summary(workdir) for workdir in workdirs]
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        raise UserError(f"--runs has folders named {', '.join(names)}; different names are needed")
    run_folder.check_writable("--out", out)
    header, rows = rows_of(runs)
    further = [over_seeds(runs), *(at_equal(runs, axis) for axis in curves.AXES)]
    examples = {run.name: run.info["data"].get("examples", 0) for run in runs}
    further.append(converged({run.name: run.curve for run in runs}, examples))
    tables = [[header, *rows], *filter(None, further)]
    warnings = differences(runs)
    best = no_cells if warnings else best_cells  # numbers that do not compare have no best one
    on_page = dict(zip(HEADINGS, [*_split(header, rows), *further], strict=True))
    try:
        figures = _figures(runs, out)
        grids = pictures.draw_samples(out, {run.name: run.grid for run in runs if run.grid})
        run_folder.write_atomically(  # the page has the grids themselves
            out / "comparison.md",
            _markdown(runs, [(t, best(t)) for t in tables], warnings, {**figures, **grids}),
        )
        page = html_page(
            {run.name: run.grid for run in runs if run.grid},
            {heading: (table, best(table)) for heading, table in on_page.items() if table},
            warnings,
            figures,
            {run.name: run.report["protocol"] for run in runs},
        )
        run_folder.write_atomically(out / "index.html", page)
    except OSError as error:
        raise UserError(f"--out={out} cannot be written to: {error.strerror}") from error
    for table in tables:
        say(markdown.text_table(table))
    for warning in warnings:
        say(markdown.printable(warning))
    say(f"page: {out / 'index.html'}")


def _figures(runs: Sequence[RunSummary], out: Path) -> dict[str, Path]:
    """Draw the figures of the page: {caption: PNG}."""
    seconds = {run.name: run.report.get("speed", {}).get("seconds", 0) for run in runs}
    return {
        **pictures.draw_quality_over_time(
            out, {run.name: run.report["metrics"] for run in runs}, seconds
        ),
        **pictures.draw_curves(
            out,
            {run.name: run.curve for run in runs if run.curve},
            {run.name: run.losses for run in runs if run.losses},
        ),
    }


def _split(header: list[str], rows: list[list[str]]) -> tuple[Table, Table]:
    """The main table as two narrower ones: what the runs are, and their metrics."""
    whole = [header, *rows]
    runs = [[*row[:_OF_THE_RUN], row[-1]] for row in whole]
    return runs, [[row[0], *row[_OF_THE_RUN:-1]] for row in whole]


def no_cells(table: Table) -> Cells:
    """No cell of a table."""
    del table
    return frozenset()


def _markdown(
    runs: Sequence[RunSummary],
    tables: Sequence[tuple[Table, Cells]],
    warnings: Sequence[str],
    figures: dict[str, Path],
) -> str:
    parts = ["# Comparison", *(markdown.table(*pair) for pair in tables)]
    parts += map(markdown.escaped, warnings)
    for run in runs:
        protocol = markdown.code(json.dumps(run.report["protocol"]))
        parts.append(f"{markdown.code(run.name)}: {protocol}")
    parts += [f"![{caption}]({path.name})" for caption, path in figures.items()]
    return "\n\n".join(parts) + "\n"
