"""Fields without effect are named when a run begins."""

import pytest
import tiny_runs as runs

from ddgan_jax.config import flatten
from ddgan_jax.config.overrides import load_config_file
from ddgan_jax.config.packaged import packaged
from ddgan_jax.methods import validate
from ddgan_jax.methods.registry import METHODS
from ddgan_jax.methods.unused import RULES, without_effect

CASES = {
    "--config.data.fit=pad": ["ddgan_digits"],
    "--config.ema_decay=0.5": ["ddgan_digits", "--config.ema_half_life=100"],
    "--config.latent_size=7": ["gan_highdim_digits"],
    "--config.reconstruction.weight=2": ["ddgan_digits"],
    "--config.reconstruction.delta=2": ["ddgan_digits", "--config.reconstruction.kind=constant"],
    "--config.r1.every=3": ["dddg_digits", "--config.r1.weight=0"],
    "--config.path_length.every=5": ["diffusion_stylegan2_digits", "--config.path_length.weight=0"],
}


@pytest.mark.parametrize("change", CASES)
def test_a_field_without_effect_is_named(change):
    config, *others = CASES[change]
    field = change.removeprefix("--").partition("=")[0]
    (line,) = [
        line
        for line in without_effect(runs.config_of(f"--config={config}", *others, change))
        if field in line
    ]
    assert line.startswith(f"{field} = ") and " has no effect with config." in line


def test_r1_of_gans_too():
    config = runs.config_of("--config=gan_digits", "--config.r1.gamma=0", "--config.r1.every=3")
    assert without_effect(config) == [
        "config.r1.every = 3 has no effect with config.r1.gamma = 0.0 and config.r2.gamma = 0.0"
    ]
    with_r2 = runs.config_of("--config=gan_digits", "--config.r1.gamma=0", "--config.r2.gamma=1")
    assert without_effect(with_r2) == []


def test_packaged_configs_have_none():
    for name in packaged():
        assert without_effect(validate(load_config_file(name))) == [], name


def test_rules_are_about_fields_that_exist():
    known = set(flatten(runs.config_of("--config=ddgan_digits")))
    known |= {name for method in METHODS.values() for name in method.fields}
    assert {name for rule in RULES for name in (*rule.deciding, *rule.fields)} <= known


def test_a_run_says_so(tmp_path, capsys):
    changed = "--config.reconstruction.weight=2"
    runs.ok(*runs.TINY, changed, f"--workdir={tmp_path}/run", "--config.train.duration=1 steps")
    assert "config.reconstruction.weight = 2.0 has no effect" in capsys.readouterr().out
