"""Memory of the activations of a train step, counted by tracing, before anything compiles."""

import functools
from collections.abc import Mapping
from typing import Any

import jax

from ddgan_jax.core.train_step import with_regularizer
from ddgan_jax.core.types import Array, Context, Method, Params, Phase, PyTree, TrainState


def activation_bytes(
    method: Method, state: TrainState, batch: Mapping[str, Any], frozen: PyTree, accumulate: int
) -> int:
    """Bytes that the largest phase keeps between its forward and its backward pass.

    Counted by tracing, as the arrays that `jax.vjp` keeps besides its arguments, with the
    regularizer of the phase if it has one. XLA may keep less (fused operations keep nothing) and
    needs some more (buffers of convolutions).

    Args:
      method: the method that is trained.
      state, batch, frozen: arguments of the train step, or their shapes.
      accumulate: number of parts that the batch is split into, see `train_step`.

    Returns:
      Bytes for one part of the batch, over all devices together.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    per_phase: list[int] = []
    for phase in method.phases:
        kept = functools.partial(_kept, phase)
        shapes = jax.eval_shape(
            kept, state.params, Context(batch, key, state.step, state.carry, frozen)
        )
        per_phase.append(sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(shapes)))
    return max(per_phase) // accumulate


def _kept(phase: Phase, params: Params, context: Context) -> list[Array]:
    """The arrays that the backward pass of `phase` reads, without params and context."""
    loss = with_regularizer(phase.loss, phase.regularizer)

    def of_role(role_params: PyTree) -> tuple[Array, Any]:
        return loss({**params, phase.role: role_params}, context)

    _, pullback, _ = jax.vjp(of_role, params[phase.role], has_aux=True)
    given = {id(x) for x in jax.tree.leaves((params, context))}
    found = {id(x): x for x in jax.tree.leaves(pullback) if isinstance(x, jax.Array)}
    return [x for name, x in found.items() if name not in given]
