"""`--mode=benchmark`: speed of train step and sampling, with the work that they do.

FLOPs are those of the program before optimisation, as XLA counts them, so they say what the method
asks for, whatever kernels run it; MFU is that over time and the devices' peak.
"""

import functools
import json
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax import mesh as meshes
from ddgan_jax.config import validate
from ddgan_jax.prepare import assemble, compiled_steps, data_shape, first_state
from ddgan_jax.sampling import compiled_sampler, sample_keys
from ddgan_jax.types import Array, Method, Params

TRIALS = 20
SAMPLES = 100  # the batch that papers of this field time

# Peak dense bfloat16 FLOP/s by the makers' data sheets, the first name that fits; float32 is slower
# and still measured against it.
PEAK_FLOPS = {
    "A100": 312e12,
    "H100": 989e12,
    "H200": 989e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5": 459e12,
    "TPU v6 lite": 918e12,
}


def peak_flops() -> float | None:
    """Peak bfloat16 FLOP/s of all devices together, None where it is not known (CPU)."""
    kind = jax.devices()[0].device_kind
    peaks = [peak for name, peak in PEAK_FLOPS.items() if name in kind]
    return peaks[0] * jax.device_count() if peaks else None


def median_seconds(call: Callable[[], Any], trials: int = TRIALS) -> float:
    """Median wall-clock of `trials` calls after one to warm up, each waited for."""
    jax.block_until_ready(call())
    times = []
    for _ in range(trials):
        start = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def random_batch(key: Array, size: int, shape: tuple[int, ...]) -> dict[str, Array]:
    """Noise in the place of data: speed does not depend on the pixels."""
    if len(shape) == 3:
        image = jax.random.randint(key, (size, *shape), 0, 256).astype(jnp.uint8)
    else:
        image = jax.random.normal(key, (size, *shape))
    return {"image": image, "label": jnp.zeros(size, jnp.int32)}


def benchmark(config: ConfigDict, say: Callable[[str], None] = print) -> int:
    """Measure and print a table, then the same as one line of JSON."""
    validate(config)
    mesh = meshes.make_mesh()
    meshes.check_divides("train.batch_size", config.train.batch_size, mesh)
    shape = data_shape(config)
    method, optimisers, create, shapes = assemble(config, shape, total=1000, epoch=1000)
    abstract = meshes.lay_out(shapes, mesh, config.train.fsdp)
    state = first_state(create, abstract, seed=0)
    size = config.train.batch_size
    make_batch = functools.partial(random_batch, size=size, shape=shape)
    batch = jax.jit(make_batch, out_shardings=meshes.over_batch(mesh))(jax.random.key(1))

    variants = {
        tuple(False for _ in method.phases),
        tuple(p.regulariser is not None for p in method.phases),
    }
    step_fn = compiled_steps(method, optimisers, config, mesh, abstract)
    rows: dict[str, dict[str, float]] = {}
    for variant in sorted(variants):
        name = "train step + R1" if any(variant) else "train step"
        started = time.perf_counter()
        lowered = step_fn(variant).lower(state, batch, ())
        flops = float((lowered.cost_analysis() or {}).get("flops", 0.0))
        compiled = lowered.compile()
        compile_seconds = time.perf_counter() - started
        holder = [state]

        def call(holder: list = holder, compiled: Any = compiled) -> Any:  # the state is donated
            holder[0], metrics = compiled(holder[0], batch, ())
            return metrics

        rows[name] = _row(median_seconds(call), size, flops, compile_seconds)
        state = holder[0]

    name, rows_of_sampling = sampling_speed(method, {**state.params, **state.ema}, mesh)
    rows[name] = rows_of_sampling
    memory = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    say(f"{jax.device_count()} x {jax.devices()[0].device_kind}, jax {jax.__version__}, "
        f"{config.dtype}, batch {size}, images {shape}, median of {TRIALS}")  # fmt: skip
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
    return 0


def sampling_speed(
    method: Method, params: Params, mesh: jax.sharding.Mesh, trials: int = TRIALS
) -> tuple[str, dict[str, float]]:
    """(what was measured, its row): sampling a batch of `SAMPLES`, compiled beforehand."""
    count = meshes.round_up(SAMPLES, mesh)
    sample = compiled_sampler(method, mesh)
    keys = sample_keys(jax.random.key(2), 0, count)
    started = time.perf_counter()
    lowered = sample.lower(params, keys, ())
    compiled = lowered.compile()
    flops = float((lowered.cost_analysis() or {}).get("flops", 0.0))
    compile_seconds = time.perf_counter() - started
    seconds = median_seconds(lambda: compiled(params, keys, ()), trials)
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
