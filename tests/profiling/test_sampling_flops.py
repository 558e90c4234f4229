"""FLOPs of samplers, whose loops XLA counts once."""

import jax
import pytest
import tiny_runs as runs

from ddgan_jax.config.overrides import load_config_file
from ddgan_jax.core.random import sample_keys
from ddgan_jax.methods import build_method, complete_config
from ddgan_jax.profiling.sampling_cost import sampling_cost
from ddgan_jax.profiling.timing import flops_of, sampling_flops


@pytest.mark.parametrize("name", ["ddgan_digits", "difgan_digits", "gan_digits", "ddpm_digits"])
def test_all_evaluations_of_a_sampler_are_counted(name):
    config = complete_config(load_config_file(f"{runs.ROOT}/configs/{name}.py"))
    cost = sampling_cost(config, 8, 0)
    assert 1 <= cost["batch_flops"] / (cost["nfe"] * cost["evaluation_flops"]) < 1.2


def test_without_evaluation_the_body_of_the_loop_counts_once():
    config = complete_config(load_config_file(f"{runs.ROOT}/configs/ddpm_toy2d.py"))
    method = build_method(config, (2,))
    params = jax.eval_shape(method.init, jax.random.key(0))
    keys = sample_keys(jax.random.key(0), 0, 4)
    whole = sampling_flops(method, params, keys, ())
    once = sampling_flops(method._replace(evaluation=None), params, keys, ())
    assert once == flops_of(jax.jit(method.sample).lower(params, keys, ()))
    assert whole > 10 * once  # ddpm_toy2d samples with many evaluations
