"""FLOPs of samplers, whose loops XLA counts once."""

import jax
import pytest
import tiny_runs as runs

from ddgan_jax.config.overrides import load_config_file
from ddgan_jax.methods import complete_config
from ddgan_jax.profiling.programs import left_out, programs
from ddgan_jax.profiling.sampling_cost import sampling_cost
from ddgan_jax.profiling.timing import flops_of


@pytest.mark.parametrize("name", ["ddgan_digits", "difgan_digits", "gan_digits", "ddpm_digits"])
def test_all_evaluations_of_a_sampler_are_counted(name):
    config = complete_config(load_config_file(f"{runs.ROOT}/configs/{name}.py"))
    config.sample.batch_size = 8
    [lower] = programs(config, jax.devices()[:1], ["sample"]).values()
    cost = sampling_cost(config, 8, 0)
    counted = flops_of(lower()) + left_out(config)
    assert 1 <= counted / (cost["nfe"] * cost["evaluation_flops"]) < 1.2
