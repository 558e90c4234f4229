"""Speed of the train step and of sampling, with the work that they do.

FLOPs are those of the program before optimization, as XLA counts them: the work that the method
needs, whatever kernels run it; MFU is FLOPs over time and the peak of the devices.
"""

import functools
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.config import check
from ddgan_jax.core.random import sample_keys
from ddgan_jax.core.types import Array, Method, Params, PyTree, Shape
from ddgan_jax.data import data_shape
from ddgan_jax.inference.sampling import compiled_sampler, sampling_params
from ddgan_jax.methods import validate
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.spaces import build_space, find_space
from ddgan_jax.training.frozen import frozen_shapes, load_frozen, load_host
from ddgan_jax.training.setup import assemble, compiled_steps, first_state

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


def _machine() -> str:
    return f"{jax.device_count()} x {jax.devices()[0].device_kind}, jax {jax.__version__}"


def median_seconds(call: Callable[[], Any], trials: int = TRIALS) -> float:
    """Median wall-clock of `trials` calls after one to warm up, each waited for."""
    jax.block_until_ready(call())
    times = []
    for _ in range(trials):
        start = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def random_batch(key: Array, config: ConfigDict, shape: Shape) -> dict[str, Array]:
    """A batch of noise of the shape of the data that the train step sees."""
    size = config.train.batch_size
    if networks := find_space(config).frozen:
        return networks.batch(key, config, shape, size)
    if len(shape) == 3:
        image = jax.random.randint(key, (size, *shape), 0, 256).astype(jnp.uint8)
    else:
        image = jax.random.normal(key, (size, *shape))
    return {"image": image, "label": jnp.zeros(size, jnp.int32)}


def benchmark(config: ConfigDict, say: Callable[[str], None] = print) -> int:
    """Measure and print a table, then the same as one line of JSON."""
    config = validate(config)
    mesh = meshes.make_mesh()
    meshes.check_divides("train.batch_size", config.train.batch_size, mesh)
    shape = data_shape(config.data)
    method, optimizers, create, shapes = assemble(config, shape, total=1000, epoch=1000)
    abstract = meshes.lay_out(shapes, mesh, config.train.fsdp)
    state = first_state(create, abstract, seed=0)
    size = config.train.batch_size
    make_batch = functools.partial(random_batch, config=config, shape=shape)
    frozen = load_frozen(config, mesh, load_host(method))
    batch = jax.jit(make_batch, out_shardings=meshes.over_batch(mesh))(jax.random.key(1))

    variants = {
        tuple(False for _ in method.phases),
        tuple(p.regularizer is not None for p in method.phases),
    }
    step_fn = compiled_steps(method, optimizers, config, mesh, abstract)
    rows: dict[str, dict[str, float]] = {}
    for variant in sorted(variants):
        name = "train step + R1" if any(variant) else "train step"
        started = time.perf_counter()
        lowered = step_fn(variant).lower(state, batch, frozen)
        flops = float((lowered.cost_analysis() or {}).get("flops", 0.0))
        compiled = lowered.compile()
        compile_seconds = time.perf_counter() - started
        holder = [state]

        def call(holder: list = holder, compiled: Any = compiled) -> Any:  # the state is donated
            holder[0], metrics = compiled(holder[0], batch, frozen)
            return metrics

        rows[name] = _row(median_seconds(call), size, flops, compile_seconds)
        state = holder[0]

    if method.sample is not None:
        params = sampling_params(state)
        name, rows_of_sampling = sampling_speed(method, params, frozen, mesh)
        rows[name] = rows_of_sampling
    memory = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    say(f"{_machine()}, {config.dtype}, batch {size}, images {shape}, median of {TRIALS}")
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
    method: Method,
    params: Params,
    frozen: PyTree,
    mesh: jax.sharding.Mesh,
    trials: int = TRIALS,
) -> tuple[str, dict[str, float]]:
    """(what was measured, its row): sampling a batch of `SAMPLES`, compiled beforehand."""
    count = meshes.round_up(SAMPLES, mesh)
    sample = compiled_sampler(method, mesh)
    keys = sample_keys(jax.random.key(2), 0, count)
    started = time.perf_counter()
    lowered = sample.lower(params, keys, frozen)
    compiled = lowered.compile()
    flops = float((lowered.cost_analysis() or {}).get("flops", 0.0))
    compile_seconds = time.perf_counter() - started
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


def sampling_cost(config: ConfigDict, batch_size: int, trials: int) -> dict[str, Any]:
    """What one network evaluation and a batch of samples cost, decoding included.

    Noise stands for the weights. FLOPs of a batch are those of its NFE evaluations and of decoding;
    bytes are what its program holds: weights, inputs and whatever is in between. The batch is
    rounded up to a multiple of the devices. Without trials FLOPs are counted and nothing compiles.

    Raises:
      UserError: a method that draws no samples, or a config that does not fit.
    """
    config = validate(config)
    mesh = meshes.make_mesh()
    batch_size = meshes.round_up(batch_size, mesh)
    shape = data_shape(config.data)
    method, _, _, abstract = assemble(config, shape, total=1, epoch=1)
    check(config, "method", method.evaluation is not None, "a method that draws samples")
    assert method.evaluation is not None
    space = build_space(config, shape)
    rng = np.random.default_rng(0)

    def noise(like: jax.ShapeDtypeStruct) -> Array:
        return jnp.asarray(0.02 * rng.standard_normal(like.shape, np.float32), like.dtype)

    frozen = jax.tree.map(noise, frozen_shapes(config, method))
    params = {"gen": jax.tree.map(noise, abstract.params["gen"])}
    params |= {role: jax.tree.map(noise, abstract.ema[role]) for role in abstract.ema}
    keys = sample_keys(jax.random.key(0), 0, batch_size)
    x = jnp.zeros((batch_size, *space.shape))
    evaluation = jax.jit(method.evaluation, static_argnums=1).lower(params, batch_size)
    decode = jax.jit(space.decode).lower(x, frozen)
    evaluation_flops, decode_flops = (
        float((lowered.cost_analysis() or {}).get("flops", 0.0)) for lowered in (evaluation, decode)
    )
    row = {
        "space": list(space.shape),
        "batch_size": batch_size,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params["gen"])),
        "nfe": method.nfe,
        "evaluation_flops": evaluation_flops,
        "batch_flops": method.nfe * evaluation_flops + decode_flops,
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
) -> int:
    """Print `sampling_cost` of several configs as a table, then as one line of JSON.

    Args:
      configs: configs of DDGANs, by their files.
      batch_size: samples at a time.
      trials: see `sampling_cost`.
      say: is given each line as soon as it is known.

    Returns:
      0, an exit status.

    Raises:
      UserError: see `sampling_cost`.
    """
    how = f"median of {trials}" if trials else "counted"
    say(f"{_machine()}, batches of {batch_size}, {how}")
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
    return 0
