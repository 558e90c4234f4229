"""launch/compare.sh: the commands it runs, their order, and what it skips."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_runs as runs

SCRIPT = runs.ROOT / "launch" / "compare.sh"
SHORT = [
    *runs.NETWORKS,
    *("--config.train.batch_size=16", "--config.train.grid=4"),
    *("--config.eval.num_samples=16", "--config.eval.trials=1"),
]


def launch(*args, methods="", path=None):
    env = runs.environment() | {"METHODS": methods}
    env["PATH"] = f"{path or Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    command = ["bash", str(SCRIPT), *map(str, args)]
    return subprocess.run(command, env=env, cwd=runs.ROOT, capture_output=True, text=True)


def test_which_commands_are_run(tmp_path):
    """A stand-in for `python` prints its arguments and writes an evaluation."""
    fake = tmp_path / "bin" / "python"
    fake.parent.mkdir()
    fake.write_text(
        '#!/bin/sh\necho "$@"\nfor a; do case $a in --workdir=*) run=${a#--workdir=}; '
        'mkdir -p "$run"; case $* in *evaluate*) touch "$run/evaluation.json";; '
        '*) [ -e "$run/metrics.jsonl" ] || touch -d @1 "$run/metrics.jsonl";; esac;; esac; done\n'
    )
    fake.chmod(0o755)

    def said(*args, **kwargs):
        done = launch(*args, path=fake.parent, **kwargs)
        assert done.returncode == 0, done.stderr
        return [line for line in done.stdout.splitlines() if line.startswith("-m ")]

    images = "--config.train.duration=1e6 images"
    out = tmp_path / "two words"
    lines = said("digits", out, 3, 5, images, methods="gan ddgan")
    assert len(lines) == 4 * 2 + 1  # training and evaluation of each run, and the page
    config = runs.ROOT / "configs" / "gan_digits.py"
    run = out / "gan_digits_seed3"
    assert lines[0] == (
        f"-m ddgan_jax.main --config={config} --workdir={run} --config.seed=3 {images}"
    )
    assert lines[1] == f"-m ddgan_jax.main --mode=evaluate --workdir={run}"
    folders = [out / f"{m}_digits_seed{s}" for s in (3, 5) for m in ("gan", "ddgan")]
    listed = ",".join(map(str, folders))
    assert lines[-1] == f"-m ddgan_jax.main --mode=compare --runs={listed} --out={out / 'page'}"

    again = said("digits", out, 3, 5, images, methods="gan ddgan")
    assert len(again) == 4 + 1 and not any("evaluate" in line for line in again)
    os.utime(run / "metrics.jsonl")  # trained further
    os.utime(run / "evaluation.json", (1, 1))
    again = said("digits", out, 3, 5, images, methods="gan ddgan")
    assert [line for line in again if "evaluate" in line] == [lines[1]]


@pytest.mark.parametrize(
    "data, left_out",
    [("mnist", {"ddgan_stacked"}), ("digits", {"autoencoder", "lddgan"})],
)
def test_every_method_has_its_turn(data, left_out, tmp_path):
    """Every config of the data set is run, except those left out."""
    configs = (runs.ROOT / "configs").glob(f"*_{data}.py")
    known = {p.stem.removesuffix(f"_{data}") for p in configs}
    fake = tmp_path / "python"
    fake.write_text('#!/bin/sh\necho "$@"\n')
    fake.chmod(0o755)
    out = launch(data, tmp_path / "out", path=tmp_path).stdout
    trained = {line.split(f"_{data}_seed0")[0].split("/")[-1] for line in out.splitlines()}
    assert known - trained == left_out
    none = launch("nothing", tmp_path / "out", path=tmp_path)
    assert none.returncode == 1 and none.stderr == "error: no config is named METHOD_nothing.py\n"
    assert "usage" in launch().stderr


@pytest.mark.cluster
def test_two_methods_end_to_end(tmp_path):
    args = ["digits", tmp_path, *SHORT, "--config.latent_size=4", "--config.train.duration=2 steps"]
    done = launch(*args, methods="gan ddgan")
    assert done.returncode == 0, done.stderr
    for method in ("gan", "ddgan"):
        report = json.loads((tmp_path / f"{method}_digits_seed0/evaluation.json").read_text())
        assert report["protocol"]["method"] == method and report["protocol"]["step"] == 2
    page = (tmp_path / "page" / "index.html").read_text()
    assert "gan_digits_seed0" in page and "ddgan_digits_seed0" in page
