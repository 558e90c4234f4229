"""`--mode=compare`: several run folders side by side on one page.

The page is a folder: `index.html` (pictures inside: one file to send), `comparison.md`, the curves
and the grids. It shows what `--mode=evaluate` wrote into the run folders, what those runs had
reached with equal images and in equal time, and says where protocols differ instead of hiding it.
"""

import base64
import html
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ddgan_jax.config.stored import read_config
from ddgan_jax.core.errors import UserError
from ddgan_jax.io import run_folder
from ddgan_jax.plotting import curves
from ddgan_jax.training.metrics_log import duration, read_lines

# What has to be equal for two numbers to be comparable.
PROTOCOL = ("samples", "reference", "extractors", "digits_read_by", "weights", "rounding")

Table = Sequence[Sequence[str]]  # the header is the first row


class Entry(NamedTuple):
    """One run of the page."""

    name: str
    report: dict[str, Any]  # evaluation.json
    info: dict[str, Any]  # info.json
    curve: list[dict[str, float]]  # evaluation.jsonl
    losses: list[dict[str, float]]  # metrics.jsonl
    grid: Path | None  # the last picture of samples


def read_entry(workdir: Path) -> Entry:
    """What a run folder says about itself.

    Raises:
      UserError: it is no run folder, or was not evaluated.
    """
    read_config(workdir)
    path = workdir / "evaluation.json"
    if not path.is_file():
        raise UserError(
            f"--runs: {workdir} has no evaluation.json; first: "
            f"python -m ddgan_jax.main --mode=evaluate --workdir={workdir}"
        )
    try:
        report = json.loads(path.read_text())
        info = json.loads((workdir / "info.json").read_text())
        missing = {"metrics", "protocol"} - report.keys()
        if missing:
            raise KeyError(*missing)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"--runs: {workdir} cannot be read, it is damaged: {error!r}") from None
    grids = sorted((workdir / "samples").glob("step_*.png"))
    made = workdir / "samples" / "samples.png"
    grid = grids[-1] if grids else made if made.exists() else None
    return Entry(
        workdir.resolve().name,
        report,
        info,
        read_lines(workdir / "evaluation.jsonl"),
        read_lines(workdir / "metrics.jsonl"),
        grid,
    )


def rows_of(entries: Sequence[Entry]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table, as text."""
    found = dict.fromkeys(name for entry in entries for name in entry.report["metrics"])
    names = [name for name in found if "_std" not in name]
    header = ["run", "method", "parameters", "training images", "training time", "NFE"]
    header += [*(name.replace("_", " ") for name in names), "s / 100 samples"]
    rows = []
    for entry in entries:
        report, speed = entry.report, entry.report.get("speed", {})
        last = entry.losses[-1] if entry.losses else {}
        parameters = entry.info.get("parameters", {})
        row = [
            entry.name,
            report["protocol"].get("method", ""),
            ", ".join(f"{role} {count:,}" for role, count in parameters.items()),
            f"{report['protocol'].get('images_seen', 0):,}",
            duration(last["seconds"]) if "seconds" in last else "",
            str(speed.get("nfe", "")),
            *(_cell(report["metrics"], name) for name in names),
            f"{speed['seconds']:.3g}" if speed else "",
        ]
        rows.append(row)
    return header, rows


def over_seeds(entries: Sequence[Entry]) -> list[list[str]]:
    """A table, header first, of the means (smallest to largest) of runs that differ in the seed.

    Those are runs called NAME_seedN, as launch/compare.sh calls them; empty if no name has two.
    """
    groups: dict[str, list[dict[str, float]]] = {}
    for entry in entries:
        name, seed, number = entry.name.rpartition("_seed")
        if seed and number.isdecimal():
            groups.setdefault(name, []).append(entry.report["metrics"])
    if all(len(group) < 2 for group in groups.values()):
        return []
    found = dict.fromkeys(name for group in groups.values() for run in group for name in run)
    names = [name for name in found if "_std" not in name]
    table = [["over seeds", "runs", *(name.replace("_", " ") for name in names)]]
    for group, runs in groups.items():
        row = [group, str(len(runs))]
        for name in names:
            values = [run[name] for run in runs if name in run]
            spread = f" ({min(values):.4g} to {max(values):.4g})" if len(values) > 1 else ""
            row.append(f"{sum(values) / len(values):.4g}{spread}" if values else "")
        table.append(row)
    return table


def at_equal(entries: Sequence[Entry], axis: str) -> list[list[str]]:
    """A table, header first, of where each run was when the shortest of them ended.

    That is the last evaluation during training until then; empty if fewer than two runs have any.

    Args:
      entries: the runs.
      axis: of `curves.AXES`, that by which the shortest is shortest: "images" or "seconds".
    """
    runs = {entry.name: entry.curve for entry in entries if entry.curve}
    if len(runs) < 2:
        return []
    end = min(curve[-1][axis] for curve in runs.values())
    names = curves.metrics_of([line for curve in runs.values() for line in curve])
    until = f"{end:,.0f} images" if axis == "images" else duration(end)
    table = [[f"after {until}", "step", *(name.replace("_", " ") for name in names)]]
    for run, curve in runs.items():
        last = next((line for line in reversed(curve) if line[axis] <= end), {})
        step = f"{last['step']:,.0f}" if last else ""
        table.append([run, step, *(_cell(last, name) for name in names)])
    return table


def _cell(metrics: Mapping[str, float], name: str) -> str:
    """A metric, with its standard deviation where it has one."""
    if name not in metrics:
        return ""
    for prefix in ("kid", "inception_score"):
        if name.startswith(prefix):
            deviation = metrics[name.replace(prefix, f"{prefix}_std", 1)]
            return f"{metrics[name]:.4g} ± {deviation:.2g}"
    return f"{metrics[name]:.4g}"


def differences(entries: Sequence[Entry]) -> list[str]:
    """A line for every part of the protocol in which the runs differ: their numbers do not
    compare there.
    """
    lines = []
    for field in PROTOCOL:
        values = {e.name: json.dumps(e.report["protocol"].get(field)) for e in entries}
        if len(set(values.values())) > 1:
            said = "; ".join(f"{name}: {value}" for name, value in values.items())
            lines.append(f"protocols differ in {field}: {said}")
    return lines


def compare(workdirs: Sequence[Path], out: Path, say: Callable[[str], None] = print) -> int:
    """Write the page into `out`, print the table.

    Raises:
      UserError: fewer than two runs, one of them not evaluated, two of one name; or `out` cannot be
        written to.
    """
    if len(workdirs) < 2:
        raise UserError("--mode=compare needs --runs=FOLDER,FOLDER,...: two or more")
    entries = [read_entry(workdir) for workdir in workdirs]
    names = [entry.name for entry in entries]
    if len(set(names)) < len(names):
        raise UserError(f"--runs has two folders of one name: {', '.join(names)}; rename one")
    run_folder.check_writable("--out", out)
    header, rows = rows_of(entries)
    equal = (at_equal(entries, axis) for axis in curves.AXES)
    tables = [[header, *rows], *filter(None, [over_seeds(entries), *equal])]
    warnings = differences(entries)
    try:
        figures = _figures(entries, out)
        run_folder.write_atomically(
            out / "comparison.md", _markdown(entries, tables, warnings, figures)
        )
        run_folder.write_atomically(out / "index.html", _page(entries, tables, warnings, figures))
    except OSError as error:
        raise UserError(f"--out={out} cannot be written to: {error.strerror}") from error
    for table in tables:
        say(_markdown_table(table))
    for warning in warnings:
        say(warning)
    say(f"page: {out / 'index.html'}")
    return 0


def _figures(entries: Sequence[Entry], out: Path) -> dict[str, Path]:
    """{caption: PNG}: metrics, and losses, over images and over time."""
    figures = {}
    with_curves = {entry.name: entry.curve for entry in entries if entry.curve}
    for axis, words in curves.AXES.items():
        if with_curves:
            path = out / f"metrics_over_{axis}.png"
            curves.draw(path, with_curves, axis)
            figures[f"Metrics over {words}"] = path
    losses = {
        entry.name: [_only_losses(line) for line in entry.losses]
        for entry in entries
        if entry.losses
    }
    if losses:
        path = out / "losses_over_images.png"
        curves.draw(path, losses, "images")
        figures["Losses over training images"] = path
    return figures


def _only_losses(line: dict[str, float]) -> dict[str, float]:
    return {k: v for k, v in line.items() if k.endswith("/loss") or k in curves.NOT_METRICS}


def _markdown_table(table: Table) -> str:
    header, *rows = table
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _markdown(
    entries: Sequence[Entry],
    tables: Sequence[Table],
    warnings: Sequence[str],
    figures: dict[str, Path],
) -> str:
    parts = ["# Comparison", *map(_markdown_table, tables), *warnings]
    for entry in entries:
        parts.append(f"`{entry.name}`: `{json.dumps(entry.report['protocol'])}`")
    parts += [f"![{caption}]({path.name})" for caption, path in figures.items()]
    return "\n\n".join(parts) + "\n"


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem;
       color: #222; background: #fff }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .35rem .8rem; border-bottom: 1px solid #ddd; text-align: right }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left }
.wide { overflow-x: auto }
.grids { display: flex; flex-wrap: wrap; gap: 1.5rem }
figure { margin: 0 } img { max-width: 100% } .grids img { width: 360px; image-rendering: pixelated }
.warning { background: #fff3cd; padding: .5rem 1rem } pre { white-space: pre-wrap; font-size: 12px }
"""


def _page(
    entries: Sequence[Entry],
    tables: Sequence[Table],
    warnings: Sequence[str],
    figures: dict[str, Path],
) -> str:
    def cells(tag: str, values: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(v)}</{tag}>" for v in values) + "</tr>"

    def picture(path: Path, caption: str) -> str:
        data = base64.b64encode(path.read_bytes()).decode()
        shown = html.escape(caption)
        return (
            f'<figure><img src="data:image/png;base64,{data}" alt="{shown}">'
            f"<figcaption>{shown}</figcaption></figure>"
        )

    body = ["<h1>Comparison</h1>"]
    for header, *rows in tables:
        body += ['<div class="wide"><table>', cells("th", header)]
        body += [*(cells("td", row) for row in rows), "</table></div>"]
    body += [f'<p class="warning">{html.escape(text)}</p>' for text in warnings]
    for caption, path in figures.items():
        body += [f"<h2>{html.escape(caption)}</h2>", picture(path, caption)]
    body += ["<h2>Samples</h2>", '<div class="grids">']
    body += [picture(entry.grid, entry.name) for entry in entries if entry.grid]
    body += ["</div>", "<h2>Protocol</h2>"]
    for entry in entries:
        text = html.escape(json.dumps(entry.report["protocol"], indent=1))
        body.append(f"<h3>{html.escape(entry.name)}</h3><pre>{text}</pre>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Comparison</title>'
        f"<style>{STYLE}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )
