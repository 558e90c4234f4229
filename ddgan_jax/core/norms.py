"""The norm of all numbers in a tree."""

import jax
import jax.numpy as jnp
import optax

from ddgan_jax.core.types import Array, PyTree


def tree_norm(tree: PyTree) -> Array:
    """The Euclidean norm of all arrays of a tree together, a float32 scalar.

    On GPUs arrays are summed along their last axis, and the sums of all arrays are then added at
    once: one kernel for each array, which can be part of the kernel that writes it, rather than two
    or three. The barrier keeps XLA from adding up each array by itself again. On CPUs and TPUs each
    array is added up by itself, which is faster there.
    """
    norm: Array = jax.lax.platform_dependent(
        tree, cpu=optax.tree.norm, tpu=optax.tree.norm, default=_by_rows
    )
    return norm


def _by_rows(tree: PyTree) -> Array:
    rows = [
        jnp.square(x).ravel() if x.ndim < 2 else jnp.sum(jnp.square(x), axis=-1).ravel()
        for x in jax.tree.leaves(tree)
    ]
    return jnp.sqrt(jnp.sum(jax.lax.optimization_barrier(jnp.concatenate(rows))))
