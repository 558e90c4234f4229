"""The comparison page survives whatever stands in run folders."""

import json
import re

import pytest

from ddgan_jax.core.errors import UserError
from ddgan_jax.evaluation.compare import compare, read_summary
from ddgan_jax.plotting import curves

REPORT = {"metrics": {"fid": 1.5}, "protocol": {"method": "ddgan", "images_seen": 9}}
INFO = {"data": {"shape": [8, 8, 1]}, "parameters": {"gen": 3}}
HOSTILE = "$x_{$ <script>alert(1)</script> | `a` [b](c) _\\frac"


def folder_of(path, report=None, info=None, lines=(), evaluations=()):
    path.mkdir(parents=True)
    (path / "config.json").write_text('{"method": "ddgan"}')
    (path / "evaluation.json").write_text(json.dumps(report or REPORT))
    (path / "info.json").write_text(json.dumps(info or INFO))
    for name, table in (("metrics", lines), ("evaluation", evaluations)):
        text = "".join(json.dumps(line) + "\n" for line in table)
        (path / f"{name}.jsonl").write_text(text)
    return path


def line(step, **values):
    return {"step": step, "images": step, "seconds": step, **values}


def test_names_with_markup_and_tex(tmp_path, recwarn):
    name = HOSTILE.replace("/", "")
    lines = [line(1, **{f"{HOSTILE}/loss": 1.0}), line(2, **{f"{HOSTILE}/loss": 0.5})]
    report = {"metrics": {HOSTILE: 2.0}, "protocol": {"method": HOSTILE, "reference": HOSTILE}}
    one = folder_of(tmp_path / name, report, None, lines, [line(1, **{HOSTILE: 3.0})])
    two = folder_of(tmp_path / "_two", None, None, lines, [line(1, **{HOSTILE: 4.0})])
    said = []
    compare([one, two], tmp_path / "page", said.append)
    page = (tmp_path / "page" / "index.html").read_text()
    text = (tmp_path / "page" / "comparison.md").read_text()
    assert "<script>" not in page
    outside_of_code = re.sub(r"(`+) .*? \1|`[^`\n]*`", "", text)
    assert "<script>" not in outside_of_code and "&lt;script&gt;" in outside_of_code
    rows = [row for row in text.splitlines() if row.startswith("| ") and "script" in row]
    assert rows and all(re.search(r"(?<!\\)\[b\]", row) is None for row in rows)
    assert not list(recwarn)


def test_control_characters_do_not_reach_the_terminal(tmp_path):
    one = folder_of(tmp_path / "a\x1b[31m\nb")
    two = folder_of(tmp_path / "two", {**REPORT, "protocol": {"weights": "\x1b[2J"}})
    said = []
    compare([one, two], tmp_path / "page", said.append)
    assert all("\x1b" not in text for text in said)


def test_lines_without_numbers(tmp_path):
    wrong = [line(1, fid="text", kid=None), {"step": 2}, {"step": 3, "images": "x", "seconds": 1}]
    wrong += [line(4, fid=float("inf")), line(5, seconds=1e300), {"a": 1}, line(6, fid=2.0)]
    wrong = [{**each} for each in wrong]
    one = folder_of(tmp_path / "one", None, None, wrong, wrong)
    with (one / "metrics.jsonl").open("ab") as file:
        file.write(b"\xff\xfe\n[1]\n\0\0\0\n")
    two = folder_of(tmp_path / "two", None, None, [line(1)], [line(1, fid=1.0)])
    compare([one, two], tmp_path / "page", lambda text: None)
    text = (tmp_path / "page" / "comparison.md").read_text()
    # Of the first run only the line of step 1 is complete, and it has no number.
    for what in ("after 1 images", "after 1s"):
        table = text[text.index(f"| {what} |") :].splitlines()
        assert table[2:4] == ["| one | 1 |  |", "| two | 1 | 1 |"]
    assert "inf" not in text and "1e+300" not in text


@pytest.mark.parametrize(
    ("report", "info", "words"),
    [
        ({"metrics": {"fid": "good"}, "protocol": {}}, None, "metrics is"),
        ({"metrics": {"fid": {}}, "protocol": {}}, None, "metrics is"),
        ({"metrics": {}, "protocol": []}, None, "protocol is"),
        ({"metrics": {}}, None, "protocol is missing"),
        ({**REPORT, "protocol": {"images_seen": "many"}}, None, "protocol.images_seen is"),
        ({**REPORT, "protocol": {"method": 3}}, None, "protocol.method is"),
        ({**REPORT, "speed": {"seconds": "fast"}}, None, "speed.seconds is"),
        ({**REPORT, "speed": 3}, None, "speed is"),
        (None, {"data": {"shape": [8]}, "parameters": {"gen": "x"}}, "parameters is"),
        (None, {"data": {"shape": [8]}, "parameters": 3}, "parameters is"),
    ],
)
def test_texts_where_numbers_belong(tmp_path, report, info, words):
    one = folder_of(tmp_path / "one", report, info)
    with pytest.raises(UserError, match=rf"one/\w+\.json: {words}"):
        read_summary(one)


def test_pictures_are_pictures_of_the_folder(tmp_path):
    one, secret = folder_of(tmp_path / "one"), tmp_path / "secret.png"
    (one / "samples").mkdir()
    picture = one / "samples" / "step_1.png"
    secret.write_text("secret")
    picture.symlink_to(secret)
    with pytest.raises(UserError, match=r"step_1.png is a link out of"):
        read_summary(one)
    picture.unlink()
    picture.write_text("%!PS")
    with pytest.raises(UserError, match=r"a PNG file of at most 32 MiB is needed"):
        read_summary(one)


def test_thousands_of_curves(tmp_path):
    many = {f"metric {i}": 1.0 for i in range(3000)}
    path = tmp_path / "a.png"
    curves.draw(path, {"run": [line(1, **many), line(2, **many)]}, "images")
    runs_ = {f"run {i} {'x' * 300}": [line(1, fid=1.0)] for i in range(3000)}
    curves.draw(path, runs_, "images")
    assert 1000 < path.stat().st_size < 2**22
