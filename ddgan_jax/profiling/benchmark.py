"""Measure speed, FLOPs and memory of the train step and of sampling on this machine.

FLOPs are those of the program before optimization, as XLA counts them: the work that the method
needs, whatever kernels run it. MFU (model FLOPs utilization) is FLOPs over time, divided by the
peak of the devices.
"""

import functools
import json
import time
from collections.abc import Callable

import jax
from ml_collections import ConfigDict

from ddgan_jax.core.random import sample_keys
from ddgan_jax.core.types import Method, Params, PyTree
from ddgan_jax.data import data_shape
from ddgan_jax.inference.sampling import compiled_sampler, sampling_params
from ddgan_jax.methods import validate
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.profiling.hardware import machine, peak_flops
from ddgan_jax.profiling.timing import (
    TRIALS,
    flops_of,
    median_seconds,
    median_step_seconds,
    random_batch,
    sampling_flops,
)
from ddgan_jax.training.frozen import load_frozen, load_host
from ddgan_jax.training.setup import assemble, compiled_steps, first_state

SAMPLES = 100  # batch size for which papers of this field report the sampling time


def benchmark(config: ConfigDict, say: Callable[[str], None] = print) -> None:
    """Measure a config and print a table, then the same numbers as one line of JSON.

    Args:
      config: config of a run.
      say: prints a line.

    Raises:
      UserError: an invalid config, or the number of devices does not divide the batch size.
    """
    config = validate(config)
    mesh = meshes.make_mesh()
    meshes.check_divides("train.batch_size", config.train.batch_size, mesh)
    shape = data_shape(config.data)
    method, optimizers, create, shapes = assemble(config, shape, total=1000, epoch=1000)
    abstract = meshes.lay_out(shapes, mesh, config.train.fsdp)
    state = first_state(create, abstract, seed=0)
    size = config.train.batch_size
    make_batch = functools.partial(random_batch, config=config, shape=shape)
    frozen = load_frozen(config, shape, mesh, load_host(method))
    batch = jax.jit(make_batch, out_shardings=meshes.batch_sharded(mesh))(jax.random.key(1))

    variants = {
        tuple(False for _ in method.phases),
        tuple(p.regularizer is not None for p in method.phases),
    }
    step_fn = compiled_steps(method, optimizers, config, mesh, abstract)
    rows: dict[str, dict[str, float]] = {}
    for variant in sorted(variants):
        name = "train step, regularized" if any(variant) else "train step"
        started = time.perf_counter()
        lowered = step_fn(variant).lower(state, batch, frozen)
        flops = flops_of(lowered)
        compiled = lowered.compile()
        compile_seconds = time.perf_counter() - started
        seconds, state = median_step_seconds(compiled, state, batch, frozen)
        rows[name] = _row(seconds, size, flops, compile_seconds)

    if method.sample is not None:
        name, row = sampling_speed(method, sampling_params(state), frozen, mesh)
        rows[name] = row
    memory = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    say(f"{machine()}, {config.dtype}, batch {size}, images {shape}, median of {TRIALS}")
    for name, row in rows.items():
        mfu = f"{100 * row['mfu']:.1f} %" if "mfu" in row else "unknown"
        say(
            f"{name:<18} {row['seconds'] * 1e3:10.2f} ms  {row['images_per_second']:10.0f} images/s"
            f"  {row['flops'] / 1e9:10.2f} GFLOP  {row['flops_per_second'] / 1e9:10.1f} GFLOP/s"
            f"  MFU {mfu}  compiled in {row['compile_seconds']:.1f} s"
        )
    if memory:
        say(f"peak memory of a device: {memory / 2**30:.2f} GiB")
    say(json.dumps({"rows": rows, "peak_bytes": memory, "device": jax.devices()[0].device_kind}))


def sampling_speed(
    method: Method,
    params: Params,
    frozen: PyTree,
    mesh: jax.sharding.Mesh,
    trials: int = TRIALS,
) -> tuple[str, dict[str, float]]:
    """Measure the time of sampling a batch of `SAMPLES`, without compilation.

    Args:
      method: a method that samples.
      params: parameters by role.
      frozen: frozen networks that sampling needs.
      mesh: the devices; the batch size is rounded up to a multiple of their number.
      trials: number of batches that are timed.

    Returns:
      A description, and "seconds", "images_per_second", "flops", "flops_per_second",
      "compile_seconds" and, if the peak of the devices is known, "mfu".
    """
    count = meshes.round_up(SAMPLES, mesh)
    sample = compiled_sampler(method, mesh)
    keys = sample_keys(jax.random.key(2), 0, count)
    started = time.perf_counter()
    lowered = sample.lower(params, keys, frozen)
    compiled = lowered.compile()
    compile_seconds = time.perf_counter() - started
    flops = sampling_flops(method, params, keys, frozen)
    seconds = median_seconds(lambda: compiled(params, keys, frozen), trials)
    return f"sample {count}, NFE {method.nfe}", _row(seconds, count, flops, compile_seconds)


def _row(seconds: float, size: int, flops: float, compile_seconds: float) -> dict[str, float]:
    row = {
        "seconds": seconds,
        "images_per_second": size / seconds,
        "flops": flops,
        "flops_per_second": flops / seconds,
        "compile_seconds": compile_seconds,
    }
    peak = peak_flops()
    return row | ({"mfu": flops / seconds / peak} if peak else {})
