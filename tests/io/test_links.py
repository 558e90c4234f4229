"""Links at any depth of a run folder from elsewhere are not followed out of it."""

import shutil

import pytest
import tiny_runs as runs

COMMANDS = {
    "sample": ["--mode=sample", "--num_images=1"],
    "export": ["--mode=export"],
    "evaluate": ["--mode=evaluate", "--config.eval.num_samples=40"],
}
PLACES = ("checkpoints/8/ema/d", "checkpoints/8/ema/manifest.ocdbt", "checkpoints/8", "config.json")


@pytest.fixture
def run(tmp_path):
    return runs.trained(tmp_path / "run")


def moved_out(run, name):
    """Put a file or folder of a run outside, and a link to it in its place."""
    outside = run.parent / "outside"
    (run / name).rename(outside)
    (run / name).symlink_to(outside)
    return outside


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("command", COMMANDS)
def test_reading(run, command, name, tmp_path, capfd):
    moved_out(run, name)
    args = [*COMMANDS[command], f"--workdir={run}", f"--out={tmp_path / 'out'}"]
    runs.fails(capfd, args, "is a link out of", name)


@pytest.mark.slow
def test_resuming_writes_nothing_outside(run, tmp_path):
    """Grids replace links; a checkpoint with a link out of the folder is set aside."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name in ("samples/step_00000009.png", "checkpoints/9.tmp"):
        (run / name).symlink_to(victim)
    outside = moved_out(run, "checkpoints/8/ema/d")
    before = runs.listing(outside)
    runs.ok(f"--workdir={run}", "--config.train.duration=9 steps")
    assert (run / "damaged" / "8.0").is_dir() and runs.steps_saved(run)[-1] == 9
    assert victim.read_text() == "precious" and runs.listing(outside) == before


def test_comparing(run, tmp_path, capfd):
    runs.ok("--mode=evaluate", f"--workdir={run}", "--config.eval.num_samples=40")
    shutil.copytree(run, tmp_path / "other")
    grid = sorted((run / "samples").glob("step_*.png"))[-1]
    moved_out(run, grid.relative_to(run))
    both = f"--runs={run},{tmp_path / 'other'}"
    runs.fails(capfd, ["--mode=compare", both, f"--out={tmp_path / 'page'}"], "is a link out of")
