"""The command that measures the cost of the metrics."""

import numpy as np
import pytest

from ddgan_jax.cli import main
from ddgan_jax.profiling import metrics_cost as cost


def test_features_do_not_depend_on_how_they_are_drawn():
    blocks = list(cost.random_blocks(1, 2500, 3))
    assert [len(block) for block in blocks] == [1000, 1000, 500]
    whole = cost.random_set(1, 2500, 3)
    assert np.array_equal(np.concatenate(blocks), whole) and whole.dtype == np.float32
    assert len(np.unique(whole[:, 0])) > 2490
    assert np.abs(cost.random_set(0, 2500, 3) - whole).max() > 0.5
    assert whole.min() >= cost.SHIFT and whole.max() > 1
    assert ((cost.random_set(0, 2500, 3) >= 0) & (cost.random_set(0, 2500, 3) < 1)).all()


def test_parts_measure_themselves():
    """Every part runs in this process and reports seconds, memory and versions."""
    for part in cost.PARTS:
        found = cost.run_part(part, 8, 2)
        assert found["seconds"] and all(s >= 0 for s in found["seconds"].values())
        assert 0.05 < found["peak_gigabytes"] < 100
        assert "jax" in found["versions"] and "8 x cpu" in found["device"]


def test_peak_counts_bytes():
    before = cost.peak_gigabytes()
    held = np.ones(50_000_000)  # 0.4 GB
    assert cost.peak_gigabytes() > min(before + 0.3, 0.4) and held[0] == 1


def test_mistakes_are_one_line(capsys):
    for flag in ("--count=3", "--features=0"):
        assert main(["metrics_cost", flag]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[1:] == ["error: --features is 0; a positive integer is needed; see --help"]
    assert lines[0].startswith("error: --count is 3; an integer >= 4 is needed")


@pytest.mark.slow
def test_command_prints_a_table(capsys):
    assert main(["metrics_cost", "--count=8", "--features=2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 x 8 samples of 2 features (0.00 GB)" and "numpy" in lines[1]
    names = ["imports alone", "FID: moments of both", "FID: distance", "KID"]
    for line, name in zip(lines[3:], [*names, "precision and recall"], strict=True):
        assert line.startswith(name) and len(line[24:].split()) == 2
