"""docs/extend.md: its method, network, data and metric run through every command."""

import json
import re
import shutil
import sys

import jax
import numpy as np
import pytest
import tiny_runs as runs

import ddgan_jax
from ddgan_jax.config import plugins
from ddgan_jax.core.errors import UserError

DOC = (runs.ROOT / "docs" / "extend.md").read_text()
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```python\n(.*?)```", DOC, re.DOTALL))
SMALL = [
    *("--config.train.batch_size=16", "--config.train.grid=4", "--config.disc.width=16"),
    *("--config.disc.blocks=1", "--config.train.checkpoint_every=4 steps"),
]


def test_a_method_and_a_network_are_at_most_sixty_lines():
    for name in ("mode_seeking.py", "my_networks.py"):
        assert len(FILES[name].splitlines()) <= 60


@pytest.fixture
def forget(monkeypatch):
    """A process that has imported none of the modules and been told of no folder."""

    def forget():
        monkeypatch.setattr(plugins, "_folders", [])
        monkeypatch.setattr(plugins, "_used", {})
        monkeypatch.setattr(sys, "path", [p for p in sys.path if "my_code" not in p])
        for name in FILES:
            sys.modules.pop(name.removesuffix(".py"), None)

    forget()
    yield forget
    forget()


@pytest.mark.slow
def test_members_from_outside_run_through_every_command(tmp_path, capfd, forget):
    code, run = tmp_path / "my_code", tmp_path / "run"
    code.mkdir()
    for name, text in FILES.items():
        (code / name).write_text(text)
    train = ["train", f"--config={code / 'my_config.py'}", f"--workdir={run}", *SMALL]
    runs.ok(*train, "--config.train.duration=8 steps")
    assert runs.metrics(run)[-1]["gen/distance"] > 0
    copies = {p.name for p in (run / "plugins").glob("*.py")}
    assert copies == {"mode_seeking.py", "my_networks.py", "my_data.py"}

    # The run folder alone runs no code; nor does a module that is importable by chance.
    forget()
    sys.path.insert(0, str(code))
    sample = ["sample", f"--workdir={run}", "--num_images=4", f"--out={tmp_path / 'out'}"]
    runs.fails(capfd, sample, "mode_seeking:mode_seeking", "--plugins=FOLDER")
    with pytest.raises(UserError, match="plugins=FOLDER"):
        ddgan_jax.load(run)
    assert "mode_seeking" not in sys.modules

    forget()
    shutil.move(code, tmp_path / "moved_my_code")
    runs.ok(*sample, f"--plugins={run / 'plugins'}")
    few = ["--config.eval.num_samples=40", "--config.eval.trials=1"]
    runs.ok("evaluate", f"--workdir={run}", f"--out={tmp_path}", *few)
    metrics = json.loads((tmp_path / "evaluation.json").read_text())["metrics"]
    assert metrics["feature_norm_digits_classifier"] > 0
    small = tmp_path / "small"
    runs.ok("export", f"--workdir={run}", f"--out={small}")
    forget()
    again = ddgan_jax.load(small, plugins=str(small / "plugins"))
    assert again.sample(jax.random.key(0), 2).shape == (2, 8, 8, 1)

    # Resumed with the original code, then with other code, which is said.
    forget()
    moved = tmp_path / "moved_my_code"
    train = ["train", f"--workdir={run}", f"--plugins={moved}"]
    capfd.readouterr()
    runs.ok(*train, "--config.train.duration=9 steps")
    assert "is not the code that the run began with" not in capfd.readouterr().out
    forget()
    (moved / "mode_seeking.py").write_text(FILES["mode_seeking.py"] + "\n# changed\n")
    runs.ok(*train, "--config.train.duration=10 steps")
    assert "mode_seeking.py is not the code that the run began with" in capfd.readouterr().out
    forget()
    with pytest.warns(UserWarning, match="is not the code"):
        ddgan_jax.load(run, plugins=str(moved))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("os:system", "a MethodEntry is needed"),
        ("subprocess:Popen", "a MethodEntry is needed"),
        ("no_such_module:x", "--plugins=FOLDER"),
        ("../evil:x", "one of"),
        ("a b:x", "one of"),
        (3, "one of"),
    ],
)
def test_names_that_are_no_members_run_nothing(name, words, forget):
    from ddgan_jax.methods import METHODS, MethodEntry

    with pytest.raises(UserError, match=words):
        plugins.lookup("method", name, METHODS, MethodEntry)


def test_a_module_that_fails_is_one_line(tmp_path, forget):
    from ddgan_jax.methods import METHODS, MethodEntry

    (tmp_path / "broken_module.py").write_text("raise RuntimeError('no\\nluck')\n")
    plugins.allow(tmp_path)
    with pytest.raises(UserError, match=r"broken_module\.py fails: RuntimeError: no luck"):
        plugins.lookup("method", "broken_module:x", METHODS, MethodEntry)
    with pytest.raises(UserError, match="there is no such folder"):
        plugins.allow(tmp_path / "none")
    np.testing.assert_equal(plugins.file_hash(tmp_path / "broken_module.py"), mine(tmp_path))


def mine(folder):
    import hashlib

    return hashlib.sha256((folder / "broken_module.py").read_bytes()).hexdigest()[:16]
