"""`--mode=compare`: the page, and the tables of its runs."""

import json
import re

import pytest
import tiny_runs as runs

from ddgan_jax.evaluation.compare import (
    RunSummary,
    at_equal,
    compare,
    differences,
    over_seeds,
    read_summary,
    rows_of,
)
from ddgan_jax.evaluation.convergence import converged, tradeoff

FEW = ("--config.eval.num_samples=40", "--config.eval.trials=2")
DISTANCE = "frechet_digits_classifier"


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    for name in ("one", "two"):
        runs.trained(folder / name)
    runs.ok("--mode=evaluate", f"--workdir={folder / 'one'}", *FEW)
    runs.ok("--mode=evaluate", f"--workdir={folder / 'two'}", *FEW, "--config.eval.seed=1")
    lines = [
        json.dumps({"step": s, "images": 9 * s, "seconds": s, DISTANCE: 1 / s}) for s in (1, 2)
    ]
    (folder / "two" / "evaluation.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_comparison_page(two_runs, tmp_path, capfd):
    out = tmp_path / "page"
    runs.ok("--mode=compare", f"--runs={two_runs / 'one'},{two_runs / 'two'}", f"--out={out}")
    printed = capfd.readouterr().out
    text, page = (out / "comparison.md").read_text(), (out / "index.html").read_text()
    for name in ("one", "two"):
        value = json.loads((two_runs / name / "evaluation.json").read_text())["metrics"][DISTANCE]
        row = next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
        assert f"{value:.4g}" in row and row.replace("**", "") in printed and "| ddgan |" in row
        assert f"{value:.4g}" in page
    # Self-contained: four figures and two grids, nothing fetched from elsewhere.
    assert page.count("data:image/png;base64,") == 6 and "http" not in page
    names = ["metrics_over_images", "metrics_over_seconds", "losses_over_images"]
    for name in [*names, "quality_over_time", "samples_side_by_side"]:
        assert (out / f"{name}.png").stat().st_size > 5000
        assert f"({name}.png)" in text
    assert page.index("<h2>Samples</h2>") < page.index("<h2>Runs</h2>") < page.index("<h2>Quality")
    assert "| within 5% of the best |" in text and "| two | frechet digits classifier |" in text
    assert "differ" not in printed  # only the seed does


def summary(name, metrics, **protocol):
    return RunSummary(name, {"metrics": metrics, "protocol": protocol}, {}, [], [], None)


def test_the_best_value_of_a_column_is_marked(tmp_path, monkeypatch):
    """In bold in comparison.md and by a class on the page; not if protocols differ."""
    found = {"a": summary("a", {"fid": 2.5, "recall": 0.25}, samples=9)}
    found["b"] = summary("b", {"fid": 4.5, "recall": 0.75}, samples=9)
    for each in found.values():
        each.info["data"] = {}
    monkeypatch.setattr("ddgan_jax.evaluation.compare.read_summary", lambda path: found[path.name])

    def written():
        compare([tmp_path / "a", tmp_path / "b"], tmp_path / "page", lambda text: None)
        page = (tmp_path / "page" / "index.html").read_text()
        marked = re.findall(r'<td class="best">([^<]*)</td>', page)
        return marked, (tmp_path / "page" / "comparison.md").read_text()

    marked, text = written()
    assert marked == ["2.5", "0.75"] and "| **2.5** | 0.25 |" in text
    found["b"].report["protocol"]["samples"] = 10
    marked, text = written()
    assert marked == [] and "**" not in text


def test_wide_tables_and_figures_scroll_in_their_own_box(two_runs, tmp_path):
    compare([two_runs / "one", two_runs / "two"], tmp_path / "page", lambda text: None)
    page = (tmp_path / "page" / "index.html").read_text()
    body = page.partition("<body>")[2]
    boxes = re.findall(r'<div class="wide" tabindex="0".*?</div>', body, re.DOTALL)
    assert len(boxes) == body.count("<table>") + 4  # figures
    assert all(box.count("<table>") + box.count("<img") == 1 for box in boxes)
    outside = body
    for box in boxes:
        outside = outside.replace(box, "")
    assert "<table" not in outside and outside.count("<img") == 2  # the grids
    assert ".wide { overflow-x: auto" in page and "min-width" not in outside


def test_where_runs_were_when_the_shortest_ended(two_runs):
    one, two = (read_summary(two_runs / name) for name in ("one", "two"))
    curve = [
        {"step": s, "images": 6 * s, "seconds": 3.0 * s, "kid": 9 - s, "kid_std": 0.1}
        for s in (1, 2, 3)
    ]
    summaries = [one._replace(curve=curve), two]  # "two": 9 and 18 images, 1 and 2 seconds
    header, first, second = at_equal(summaries, "images")
    assert header == ["after 18 images", "step", "kid", DISTANCE.replace("_", " ")]
    assert first == ["one", "3", "6 ± 0.1", ""] and second == ["two", "2", "", "0.5"]
    header, first, second = at_equal(summaries, "seconds")
    assert header[0] == "after 2s" and first == ["one", "", "", ""] and second[1] == "2"
    assert at_equal([one, two], "images") == []  # one of them was not evaluated while it trained


def test_when_a_run_converged():
    """The first evaluation within 5 % of the run's best, with its epochs."""
    values = {100: 9.0, 200: 4.1, 300: 5.0, 400: 4.0}
    curve = [
        {"step": s, "images": 16 * s, "seconds": s / 10, "kid": 1.0, "fid": v}
        for s, v in values.items()
    ]
    header, row = converged({"a": curve, "b": curve[:1], "c": [{"step": 1, "kid": 1.0}]}, {"a": 64})
    assert header[0] == "within 5% of the best"
    assert row == ["a", "fid", "4.1 (4)", "200", "50.0", "20s"]
    assert converged({"b": curve[:1], "c": []}, {}) == []
    assert converged({"a": curve}, {})[1][4] == ""  # of imported runs, the data are not known


def test_quality_against_sampling_time():
    """Only runs with the same distance and a measured time have a point."""
    metrics = {"a": {"kid": 1.0, "fid": 3.0}, "b": {"fid": 2.0}, "c": {"frechet_vgg16": 9.0}}
    name, points = tradeoff(metrics, {"a": 0.5, "b": 8.0, "c": 1.0})
    assert name == "fid" and points == {"a": (0.5, 3.0), "b": (8.0, 2.0)}
    assert tradeoff(metrics, {"a": 0.5}) == ("fid", {"a": (0.5, 3.0)})
    assert tradeoff({"d": {"kid": 1.0}}, {"d": 1.0}) == ("", {})


def test_comparison_says_where_protocols_differ(two_runs):
    one, two = (read_summary(two_runs / name) for name in ("one", "two"))
    assert differences([one, two]) == []
    two.report["protocol"]["samples"] = 50
    (line,) = differences([one, two])
    assert "samples" in line and "one: 40; two: 50" in line


def test_means_over_seeds():
    once = [
        summary("gan_seed0", {"fid": 3.0}),
        summary("ddgan", {"fid": 1.0}),
        summary("ddgan_seedling", {"fid": 5.0}),
    ]
    assert over_seeds(once) == []
    more = [summary("gan_seed1", {"fid": 4.0, "recall": 0.5}), summary("a_seed0", {"fid": 2.0})]
    assert over_seeds([*once, *more]) == [
        ["over seeds", "runs", "fid", "recall"],
        ["gan", "2", "3.5 (3 to 4)", "0.5"],
        ["a", "1", "2", ""],
    ]


def test_runs_that_cannot_be_compared(two_runs, tmp_path, capfd):
    command = ["--mode=compare", f"--out={tmp_path / 'page'}"]
    one = two_runs / "one"
    runs.fails(capfd, ["--mode=compare", f"--runs={one}"], "--out=FOLDER")
    runs.fails(capfd, [*command, f"--runs={one}"], "two or more")
    runs.fails(capfd, [*command, f"--runs={one},{one}"], "different names")
    runs.fails(capfd, [*command, f"--runs={one},nowhere"], "nowhere does not exist")
    bare = runs.trained(tmp_path / "bare")
    runs.fails(
        capfd, [*command, f"--runs={one},{bare}"], "no evaluation.json", "ddgan_jax evaluate"
    )
    (bare / "evaluation.json").write_text("{")
    runs.fails(capfd, [*command, f"--runs={one},{bare}"], "damaged")
    assert not (tmp_path / "page").exists()


def test_standard_deviations_stand_beside_their_metric():
    metrics = {"kid_x_classifier": 2.0, "kid_std_x_classifier": 0.25, "kid": 1.0, "a_std": 9.0}
    header, (row,) = rows_of([summary("one", metrics)])
    cells = dict(zip(header, row, strict=True))
    assert cells["kid x classifier"] == "2 ± 0.25" and cells["kid"] == "1"
    assert not any("std" in name for name in header)
