"""Count and measure what sampling costs, for several configs side by side.

The weights are random numbers, so no trained run is needed.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.config import check
from ddgan_jax.core.random import sample_keys
from ddgan_jax.core.types import Array
from ddgan_jax.data import data_shape
from ddgan_jax.inference.sampling import compiled_sampler
from ddgan_jax.methods import validate
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.profiling.hardware import machine
from ddgan_jax.profiling.timing import flops_of, median_seconds, sampling_flops
from ddgan_jax.spaces import build_space
from ddgan_jax.training.frozen import frozen_shapes
from ddgan_jax.training.setup import assemble


def sampling_cost(config: ConfigDict, batch_size: int, trials: int) -> dict[str, Any]:
    """FLOPs, seconds and bytes of one network evaluation and of sampling a batch.

    Args:
      config: config of a method that samples.
      batch_size: samples per batch, rounded up to a multiple of the number of devices.
      trials: number of batches that are timed; 0: count FLOPs and compile nothing.

    Returns:
      "space" (shape), "batch_size", "parameters", "nfe", "evaluation_flops" and "batch_flops" (NFE
      evaluations and decoding); with trials also "evaluation_seconds", "batch_seconds" and "bytes"
      (arguments and temporary buffers of the compiled sampler).

    Raises:
      UserError: the method does not sample, or an invalid config.
    """
    config = validate(config)
    mesh = meshes.make_mesh()
    batch_size = meshes.round_up(batch_size, mesh)
    shape = data_shape(config.data)
    method, _, _, abstract = assemble(config, shape, total=1, epoch=1)
    allowed = "a method that draws samples, with `evaluation`,"
    check(config, "method", method.evaluation is not None, allowed)
    assert method.evaluation is not None
    space = build_space(config, shape)
    rng = np.random.default_rng(0)

    def noise(like: jax.ShapeDtypeStruct) -> Array:
        return jnp.asarray(0.02 * rng.standard_normal(like.shape, np.float32), like.dtype)

    shapes = {"gen": abstract.params["gen"], **abstract.ema}, frozen_shapes(config, method, shape)
    params, frozen = jax.tree.map(noise, shapes) if trials else shapes
    keys = sample_keys(jax.random.key(0), 0, batch_size)
    evaluation = jax.jit(method.evaluation, static_argnums=1).lower(params, batch_size)
    evaluation_flops = flops_of(evaluation)
    row = {
        "space": list(space.shape),
        "batch_size": batch_size,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params["gen"])),
        "nfe": method.nfe,
        "evaluation_flops": evaluation_flops,
        "batch_flops": sampling_flops(method, params, keys, frozen),
    }
    if not trials:
        return row
    evaluator, sampler = evaluation.compile(), compiled_sampler(method, mesh)
    sampled = sampler.lower(params, keys, frozen).compile()
    memory = sampled.memory_analysis()
    return row | {
        "evaluation_seconds": median_seconds(lambda: evaluator(params), trials),
        "batch_seconds": median_seconds(lambda: sampled(params, keys, frozen), trials),
        "bytes": memory.argument_size_in_bytes + memory.temp_size_in_bytes,
    }


def compare_sampling(
    configs: Mapping[str, ConfigDict],
    batch_size: int,
    trials: int,
    say: Callable[[str], None] = print,
) -> None:
    """Print `sampling_cost` of several configs as a table, then as one line of JSON.

    Args:
      configs: config file -> config.
      batch_size: samples per batch.
      trials: see `sampling_cost`.
      say: prints a line; called as soon as a config is measured.

    Raises:
      UserError: see `sampling_cost`.
    """
    how = f"median of {trials}" if trials else "counted"
    say(f"{machine()}, batches of {batch_size}, {how}")
    columns = (("", "<24"), ("space", ">12"), ("parameters", ">13"), ("one evaluation", ">24"))
    say("".join(format(*column) for column in (*columns, ("NFE", ">6"), ("a batch", ">24"))))
    rows = {}
    for name, config in configs.items():
        row = rows[name] = sampling_cost(config, batch_size, trials)
        evaluation, batch = (
            f"{row[f'{what}_flops'] / 1e9:>11.3g} GFLOP" for what in ("evaluation", "batch")
        )
        if trials:
            evaluation += f"{row['evaluation_seconds']:>8.3g} s"
            batch += f"{row['batch_seconds']:>8.3g} s{row['bytes'] / 1e6:>8.0f} MB"
        space = "x".join(map(str, row["space"]))
        network = f"{Path(name).stem:<24}{space:>12}{row['parameters']:>13,}{evaluation}"
        say(f"{network}{row['nfe']:>6}{batch}")
    say(json.dumps({"rows": rows}))
