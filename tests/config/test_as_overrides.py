"""The config that a run prints can be pasted behind `--config.`."""

import shlex
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from ddgan_jax.config.overrides import as_overrides, load_config_file, override

FOLDER = Path(__file__).resolve().parents[2] / "configs"


@pytest.mark.parametrize("name", ["dddg_mnist28", "lddgan_digits", "ddgan_toy2d"])
def test_the_lines_set_every_field_to_its_value(name: str) -> None:
    config = load_config_file(str(FOLDER / f"{name}.py"))
    words = [word for line in as_overrides(config) for word in shlex.split(line)]
    changes = dict(word.split("=", 1) for word in words)
    assert override(config, changes).to_dict() == config.to_dict()


def test_values_that_a_shell_would_change_are_quoted() -> None:
    config = ConfigDict({"a": {"dir": "", "split": "train[:9]", "on": True}, "b": (1, 2), "c": ()})
    assert as_overrides(config) == ["b=1,2 c=''", "a.dir='' a.on=true a.split='train[:9]'"]


def test_lines_are_wrapped_between_fields() -> None:
    lines = as_overrides(ConfigDict({f"field_{i}": i for i in range(10)}), width=20)
    assert lines == [f"field_{i}={i} field_{i + 1}={i + 1}" for i in range(0, 10, 2)]
