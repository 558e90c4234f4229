"""Modules of the user that fail, exit or hold something else: one line that names the file."""

import sys

import pytest

from ddgan_jax.config import plugins
from ddgan_jax.core.errors import UserError, described
from ddgan_jax.methods import registry
from ddgan_jax.presets import DIGITS, ddgan

ENTRY = "from ddgan_jax.methods import MethodEntry, ddgan\nmine = MethodEntry("
BAD = {
    "exits": ("import sys\nsys.exit(0)", "fails: SystemExit"),
    "raises": ("raise ValueError('no\\nluck')", "fails: ValueError: no luck"),
    "cannot_print": (
        "class E(Exception):\n  def __str__(self): 1 / 0\nraise E()",
        "cannot_print.py fails: E$",
    ),
    "has_no_fields": (f"{ENTRY}len, 2)", "a function, a table"),
    "builds_nothing": (f"{ENTRY}lambda *a: None, ddgan.FIELDS)", "builds NoneType, not a Method"),
    "cannot_build": (f"{ENTRY}lambda *a: 1 / 0, ddgan.FIELDS)", "fails: ZeroDivisionError"),
}


@pytest.mark.parametrize("name", BAD)
def test_modules(tmp_path, name, monkeypatch):
    monkeypatch.setattr(plugins, "_folders", [])
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    content, words = BAD[name]
    (tmp_path / f"{name}.py").write_text(content)
    plugins.allow(tmp_path)
    config = ddgan(num_steps=2, latent_size=4, **DIGITS)
    config.method = f"{name}:mine"
    with pytest.raises(UserError, match=words) as caught:
        registry.build_method(config, (8, 8, 1))
    assert f"config.method is '{name}:mine'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_modules_that_a_module_imports_are_copied(tmp_path, monkeypatch):
    """A named module with a package and a file beside it; the copies alone can be imported."""
    monkeypatch.setattr(plugins, "_folders", [])
    monkeypatch.setattr(plugins, "_used", {})
    monkeypatch.setattr("sys.path", [*sys.path])
    own = {
        "seeking.py": "import seeking_parts.inner\nfrom seeking_size import SIZE\n"
        f"{ENTRY}ddgan.from_config, ddgan.FIELDS)\n",
        "seeking_parts/__init__.py": "",
        "seeking_parts/inner.py": "import json\n",
        "seeking_size.py": "SIZE = 3\n",
        "other.py": "",
    }
    for name, text in own.items():
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text(text)
    plugins.allow(tmp_path / "mine")
    config = ddgan(num_steps=2, latent_size=4, **DIGITS)
    assert plugins.used_by(config) == {}
    config.method = "seeking:mine"
    registry.find_method(config)
    run = tmp_path / "run"
    plugins.save_copies(run, config)
    copies = {str(p.relative_to(run / "plugins")) for p in (run / "plugins").rglob("*.py")}
    assert copies == set(own) - {"other.py"}
    (tmp_path / "mine" / "seeking_size.py").write_text("SIZE = 4\n")
    (line,) = plugins.changes(run, config)
    assert "seeking_size.py is not the code that the run began with" in line
    for name in [name for name in sys.modules if name.startswith("seeking")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(plugins, "_folders", [])
    monkeypatch.setattr("sys.path", [p for p in sys.path if p != str(tmp_path / "mine")])
    plugins.allow(run / "plugins")
    registry.find_method(config)
    assert sys.modules["seeking"].SIZE == 3


def test_code_of_a_notebook_that_is_not_there():
    config = ddgan(num_steps=2, latent_size=4, **DIGITS)
    config.method = "__main__:mode_seeking"
    with pytest.raises(UserError, match="move the code of a notebook or script to a file"):
        registry.find_method(config)


def test_a_file_that_is_no_source(tmp_path):
    with (tmp_path / "a.py").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UserError, match=r"a.py has 1,099,511,627,776 bytes; .* at most 16 MiB"):
        plugins.check_source("a.py", tmp_path / "a.py")


def test_exceptions_that_say_nothing():
    assert (
        described(ValueError("a\n b")) == "ValueError: a b" and described(KeyError()) == "KeyError"
    )
