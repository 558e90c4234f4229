"""A part of the campaign: kinds that need no trained run. And what the campaign notices."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_runs as runs

from tests.fuzz import mutate, sandbox, verdict

KINDS = "refused fields,config files,originals,images,npz arrays,labels"


@pytest.mark.cluster
def test_a_part_of_the_campaign():
    """As a process of its own, because processes that use jax's devices cannot be forked."""
    command = [sys.executable, "-m", "tests.fuzz.campaign", "--count=30", f"--kind={KINDS}"]
    done = subprocess.run(
        command, cwd=runs.ROOT, env=runs.environment(), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| all | 30 | " in done.stdout


def test_mutations_depend_on_the_seed_alone_and_change_something():
    text = '{"a": {"b": [1, 2.5, "x"]}, "c": null}'
    for seed in range(200):
        first, second = (mutate.of_json(random.Random(seed), text) for _ in range(2))
        assert first == second and first[1] != text.encode()
        title, changed = mutate.of_bytes(random.Random(seed), b"some bytes")
        assert title and changed != b"some bytes"


def end(status=1, err="error: a.npz is damaged\n", out=""):
    return sandbox.End(status, out, err, 0.0, 0)


CASE = sandbox.Case("kind", "title", (), names=("a.npz",))


def judged(root: Path, found: sandbox.End, case=CASE, act=lambda root: None, good=dict):
    sandbox.make(root)
    for name in (".audit", ".hang"):
        (root / name).touch()
    before = verdict.snapshot(root, ("out", "home"))
    act(root)
    return verdict.faults(case, found, root, before, good)


def test_the_oracle(tmp_path):
    """It accepts a refusal in one line, and names what is wrong with all other ends."""
    wrong = {
        "status 0 on garbage": end(0, ""),
        "status 70": end(70),
        "hangs": end(None),
        "died by SIGSEGV": end(-11),
        "a traceback": end(1, 'Traceback (most recent call last):\n  File "x.py", line 1\n'),
        "names none of a.npz": end(1, "error: something is damaged\n"),
        "takes too much memory": end(1, "error: a.npz: out of memory\n"),
        "a warning of a library": end(1, "RuntimeWarning: overflow\nerror: a.npz\n"),
        "2 error lines": end(1, "error: a.npz\nerror: a.npz\n"),
    }
    assert judged(tmp_path / "good", end()) == []
    for i, (what, found) in enumerate(wrong.items()):
        assert what in " ".join(judged(tmp_path / str(i), found)), what
    changes = {
        "changes ['victim/precious.txt']": lambda root: (root / "victim/precious.txt").write_text(
            ""
        ),
        "leaves": lambda root: (root / "out").mkdir() or (root / "out" / "x.tmp").touch(),
        "outside of the sandbox": lambda root: (root / ".audit").write_text("open: /etc/x"),
    }
    for i, (what, act) in enumerate(changes.items()):
        assert what in " ".join(judged(tmp_path / f"change{i}", end(), act=act)), what
    same = CASE._replace(expect="same")
    assert "refuses valid input" in judged(tmp_path / "valid", end(), same)
    other = judged(tmp_path / "other", end(0, ""), same, good=lambda: {"out/a.json": 1})
    assert "another result" in other[0]


def test_a_case_cannot_hide_what_it_does(tmp_path):
    """A child that writes elsewhere, starts a program or asks for memory is seen."""
    code = (
        "import subprocess; open({other!r}, 'w'); subprocess.run(['true']); "
        "get_config = lambda: bytes(2**33)"
    )
    root, other = tmp_path / "root", tmp_path / "other"
    script = f"""
import sys; sys.path.insert(0, {str(runs.ROOT)!r})
from pathlib import Path
from tests.fuzz import sandbox, verdict
root = Path({str(root)!r})
sandbox.make(root)
(root / "c.py").write_text({code.format(other=str(other))!r})
case = sandbox.Case("", "", ("fields", "--config=c.py"))
end = sandbox.run(case, root, limit=3 * 2**30)
print(*verdict.faults(case, end, root, verdict.snapshot(root, ()), dict), sep="\\n")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "takes too much memory" in done.stdout, done
    assert f"outside of the sandbox: open: {other}" in done.stdout
