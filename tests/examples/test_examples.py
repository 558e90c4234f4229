"""The examples: the cells of the notebook, and a method of one's own in one file."""

import json
import runpy
import sys
import types

import pytest
import tiny_runs as runs

import ddgan_jax
from ddgan_jax.config import plugins

EXAMPLES = runs.ROOT / "examples"
NOTEBOOK = json.loads((EXAMPLES / "notebook.ipynb").read_text())
CODE = ["".join(c["source"]) for c in NOTEBOOK["cells"] if c["cell_type"] == "code"]
STEPS = "STEPS = 400"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder to write to, and a process that knows of no folder with code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plugins, "_folders", [])
    monkeypatch.setattr(plugins, "_used", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("researcher", None)


def test_the_notebook_was_executed_and_is_small():
    cells = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    kinds = [output["output_type"] for cell in cells for output in cell["outputs"]]
    assert "error" not in kinds and len(kinds) > 5
    text = (EXAMPLES / "notebook.ipynb").read_text()
    assert text.count('"image/png"') == 2 and len(text) < 100_000
    assert not any(f"/{folder}/" in text for folder in ("home", "root", "tmp", "Users"))


@pytest.mark.slow
def test_the_cells_of_the_notebook_run(monkeypatch, capsys):
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    assert CODE[1].startswith(STEPS)
    for source in CODE:
        exec(source.replace(STEPS, "STEPS = 8"), module.__dict__)
    assert module.trainer.steps == module.trainer.model.step == 8 and module.tuned.model.step == 1
    said = capsys.readouterr().out
    assert "'gen/distance'" in said and "runs/notebook True" in said
    info = json.loads((module.folder / "info.json").read_text())
    assert info["data"]["examples"] == 1500 and module.mine.config.method == "__main__:mode_seeking"


@pytest.mark.slow
def test_the_method_in_one_file(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["researcher.py", "--steps=2", "--out=run"])
    runpy.run_path(str(EXAMPLES / "researcher.py"), run_name="__main__")
    said = capsys.readouterr().out
    assert "step 2 of 2> {'gen/loss': " in said and "run folder: run" in said
    model = ddgan_jax.load("run", plugins=str(EXAMPLES))
    assert model.step == 2 and model.config.mode_seeking.weight == 0.1
    config = runs.config_of(f"--config={EXAMPLES / 'researcher.py'}")
    assert config.method == model.config.method == "researcher:mode_seeking"
