"""Sampling in batches of one compiled size, with one random key per sample."""

import functools
import numbers
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.random import first_keys, sample_keys
from ddgan_jax.core.train_step import averaged
from ddgan_jax.core.types import Array, Method, Params, PyTree, Styles, TrainState
from ddgan_jax.methods import tracing
from ddgan_jax.parallel.batching import in_batches
from ddgan_jax.parallel.mesh import batch_sharded, replicated


def sampling_params(state: TrainState, raw: bool = False) -> dict[str, PyTree]:
    """The parameters that a train state samples with, by role.

    Args:
      state: a train state, or its shapes.
      raw: use the current weights instead of their moving averages. What the method learns
        otherwise (`Method.learned`) is the same.
    """
    return {**state.ema, **state.params} if raw else {**state.params, **state.ema}


def ema_shapes(method: Method, config: ConfigDict) -> dict[str, PyTree]:
    """Shapes and dtypes of the `ema` item of a checkpoint.

    Args:
      method: the method.
      config: its config, for error messages.

    Returns:
      The moving averages and `Method.learned`, by role.

    Raises:
      UserError: the networks cannot have the sizes that the config asks for.
    """

    def create(key: Array) -> dict[str, PyTree]:
        return averaged(method, method.init(key), method.carry_init(key))

    with tracing(config):
        shapes: dict[str, PyTree] = jax.eval_shape(create, jax.random.key(0))
    return shapes


def truncated(method: Method, psi: float, cutoff: int | None = None) -> Method:
    """The same method, whose samples are truncated: w_average + psi (w - w_average).

    Args:
      method: a method whose generator has styles.
      psi: 1 without `cutoff` returns `method`; smaller values give samples of less variety and
        higher quality.
      cutoff: number of layers that get the truncated w, from the coarsest on; None: all.

    Raises:
      UserError: the generator has no styles, psi is not in [0, 2] or cutoff is below 1.
    """
    if not (isinstance(psi, numbers.Real) and 0 <= psi <= 2):
        raise UserError(f"truncation_psi is {psi!r}; a number in [0, 2] is needed")
    if cutoff is not None and not (isinstance(cutoff, numbers.Integral) and cutoff >= 1):
        raise UserError(f"truncation_cutoff is {cutoff!r}; a positive integer is needed")
    if psi == 1 and cutoff is None:
        return method
    styles = method.styles
    if styles is None:
        raise UserError(
            "truncation is for generators with styles (gen.network 'stylegan2'), which this run "
            "does not have"
        )
    return method._replace(sample=_truncated_sample(styles, psi, cutoff))


@functools.lru_cache(maxsize=16)  # the same function again, which `_compiled` knows
def _truncated_sample(styles: Styles, psi: float, cutoff: int | None) -> Callable[..., Array]:
    def sample(params: Params, keys: Array, frozen: PyTree, labels: Array | None = None) -> Array:
        return styles.sample(params, keys, frozen, labels, psi, cutoff)

    return sample


def compiled_sampler(method: Method, mesh: jax.sharding.Mesh, with_labels: bool = False) -> Any:
    """Compile `method.sample`: keys (and labels) are sharded over the devices, samples replicated.

    Args:
      method: a method that samples.
      mesh: the devices. Parameters may be sharded over them (`config.train.fsdp`).
      with_labels: whether the function takes labels as a fourth argument.

    Returns:
      (params, keys [B], frozen[, labels int32 [B]]) -> samples float32 [B, *data].

    Raises:
      UserError: the method does not sample.
    """
    if method.sample is None:
        raise UserError(
            "this method draws no samples; its reconstructions are shown by python -m ddgan_jax "
            "reconstruct"
        )
    return _compiled(method.sample, mesh, with_labels)


@functools.lru_cache(maxsize=16)  # so that drawing again from a model does not compile again
def _compiled(draw: Callable[..., Array], mesh: jax.sharding.Mesh, with_labels: bool) -> Any:
    same, split = replicated(mesh), batch_sharded(mesh)

    def sample(params: Params, keys: Array, frozen: PyTree, *labels: Array) -> Array:
        return draw(jax.lax.with_sharding_constraint(params, same), keys, frozen, *labels)

    layouts = (None, split, same) + with_labels * (split,)
    return jax.jit(sample, in_shardings=layouts, out_shardings=same)


def sample_batches(
    sample: Callable[..., Array],
    params: Params,
    frozen: PyTree,
    key: Array,
    count: int,
    batch_size: int,
    labels: np.ndarray | None = None,
) -> Iterator[np.ndarray]:
    """Draw samples in batches.

    Args:
      sample: result of `compiled_sampler`; called with `batch_size` keys each time.
      params: parameters by role.
      frozen: frozen networks that sampling needs.
      key: typed PRNG key, sample i gets `fold_in(key, i)`; or keys [count], sample i gets
        `fold_in(key[i], 0)`.
      count: number of samples.
      batch_size: samples per call, a multiple of the number of devices.
      labels: int32 [count] for a sampler `with_labels`.

    Returns:
      Iterator of float32 [b, *data] on the host; b is `batch_size` for all but the last batch.
    """

    def draw(indices: np.ndarray, *labels: np.ndarray) -> Array:
        start = int(indices[0])
        keys = first_keys(key[indices]) if key.ndim else sample_keys(key, start, batch_size)
        return sample(params, keys, frozen, *map(jnp.asarray, labels))

    arrays = [np.arange(count)] + ([] if labels is None else [labels])
    return in_batches(draw, arrays, batch_size)
