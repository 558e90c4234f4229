"""Timing of compiled functions, FLOPs of lowered ones, and random batches to run them on."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxprs_in_params
from ml_collections import ConfigDict

from ddgan_jax.core.types import Array, Method, Params, PyTree, Shape, TrainState
from ddgan_jax.spaces import find_space

TRIALS = 20


def median_seconds(call: Callable[[], Any], trials: int = TRIALS) -> float:
    """Median wall-clock seconds of a call.

    Args:
      call: returns arrays, which are waited for; called once more beforehand to warm up.
      trials: number of calls that are timed.
    """
    jax.block_until_ready(call())
    times = []
    for _ in range(trials):
        start = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def median_step_seconds(
    step: Callable[[TrainState, Any, PyTree], tuple[TrainState, Any]],
    state: TrainState,
    batch: Any,
    frozen: PyTree,
    trials: int = TRIALS,
) -> tuple[float, TrainState]:
    """Median wall-clock seconds of a compiled train step with donated state.

    Args:
      step: (state, batch, frozen) -> (state, metrics).
      state: the first state, which is donated.
      batch, frozen: further arguments of `step`.
      trials: number of steps that are timed.

    Returns:
      Seconds of a step, and the state after all steps.
    """

    def call() -> Any:
        nonlocal state
        state, metrics = step(state, batch, frozen)
        return metrics

    seconds = median_seconds(call, trials)
    return seconds, state


def flops_of(program: Any) -> float:
    """FLOPs of a `jax.stages.Lowered` or `Compiled` program, as XLA counts them."""
    return float((program.cost_analysis() or {}).get("flops", 0.0))


def sampling_flops(method: Method, params: Params, keys: Array, frozen: PyTree) -> float:
    """FLOPs of sampling with all network evaluations; `flops_of` counts the body of a loop once.

    Without `method.evaluation` the body of a loop counts once here too.

    Args:
      method: a method that samples.
      params, keys, frozen: arguments of `method.sample`, or their shapes.
    """
    assert method.sample is not None
    traced = jax.jit(method.sample).trace(params, keys, frozen)
    counted = flops_of(traced.lower())
    looped = method.nfe > 1 and _has_loop(traced.jaxpr.jaxpr, method.nfe)
    if method.evaluation is None or not looped:
        return counted
    evaluation = jax.jit(method.evaluation, static_argnums=1).lower(params, keys.shape[0])
    return counted + (method.nfe - 1) * flops_of(evaluation)


def _has_loop(jaxpr: Any, length: int) -> bool:
    """Whether there is a `scan` of this length."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "scan" and equation.params["length"] == length:
            return True
        inner = jaxprs_in_params(equation.params)
        if any(_has_loop(each, length) for each in inner):
            return True
    return False


def random_batch(key: Array, config: ConfigDict, shape: Shape) -> dict[str, Array]:
    """A random batch with the shapes and dtypes that the train step gets.

    Args:
      key: typed PRNG key.
      config: complete config; `config.train.batch_size` is the number of examples.
      shape: shape of one example of the data.
    """
    size = config.train.batch_size
    if networks := find_space(config).frozen:
        return networks.batch(key, config, shape, size)
    if len(shape) == 3:
        image = jax.random.randint(key, (size, *shape), 0, 256).astype(jnp.uint8)
    else:
        image = jax.random.normal(key, (size, *shape))
    return {"image": image, "label": jnp.zeros(size, jnp.int32)}
