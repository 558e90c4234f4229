"""FLOPs of samplers, whose loops XLA counts once."""

import pytest
import tiny_runs as runs

from ddgan_jax.config.overrides import load_config_file
from ddgan_jax.methods import complete_config
from ddgan_jax.profiling.sampling_cost import sampling_cost


@pytest.mark.parametrize("name", ["ddgan_digits", "difgan_digits", "gan_digits", "ddpm_digits"])
def test_all_evaluations_of_a_sampler_are_counted(name):
    config = complete_config(load_config_file(f"{runs.ROOT}/configs/{name}.py"))
    cost = sampling_cost(config, 8, 0)
    assert 1 <= cost["batch_flops"] / (cost["nfe"] * cost["evaluation_flops"]) < 1.2
