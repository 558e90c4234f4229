"""Sampling any number of images: fixed-size compiled batches, one key per image."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.random import sample_keys
from ddgan_jax.core.types import Array, Method, Params, PyTree
from ddgan_jax.parallel.mesh import over_batch, replicated


def compiled_sampler(method: Method, mesh: jax.sharding.Mesh, of_classes: bool = False) -> Any:
    """`method.sample`, jitted: keys split over the devices, samples on all of them.

    Parameters may come split, as training leaves them with `config.train.fsdp`. `of_classes`: it
    takes labels too.

    Raises:
      UserError: the method draws no samples.
    """
    if method.sample is None:
        raise UserError("this method draws no samples; --mode=reconstruct shows what it rebuilds")
    draw, same, split = method.sample, replicated(mesh), over_batch(mesh)

    def sample(params: Params, keys: Array, frozen: PyTree, *labels: Array) -> Array:
        return draw(jax.lax.with_sharding_constraint(params, same), keys, frozen, *labels)

    layouts = (None, split, same) + of_classes * (split,)
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
    """Yield `count` samples in all, on the host, float32, in batches of at most `batch_size`.

    `sample` is compiled for `batch_size` only: the last batch is filled up and cut. `labels`: int32
    [count], the classes asked for.
    """
    for start in range(0, count, batch_size):
        asked: tuple[Array, ...] = ()
        if labels is not None:
            asked = (jnp.asarray(np.resize(labels[start : start + batch_size], batch_size)),)
        images = sample(params, sample_keys(key, start, batch_size), frozen, *asked)
        yield np.asarray(images)[: count - start]
