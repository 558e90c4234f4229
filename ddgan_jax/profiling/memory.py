"""What a train step will need in memory, before anything compiles."""

import functools
from collections.abc import Mapping
from typing import Any

import jax

from ddgan_jax.core.train_step import with_regularizer
from ddgan_jax.core.types import Array, Context, Method, Params, Phase, PyTree, TrainState


def activation_bytes(
    method: Method, state: TrainState, batch: Mapping[str, Any], frozen: PyTree, accumulate: int
) -> int:
    """Bytes that the hungriest phase keeps between its forward and its backward pass.

    Of the whole batch, or of one of the `accumulate` parts that it is split in: on n devices each
    has 1/n of them. Counted by tracing alone, as what `jax.vjp` remembers beside the parameters,
    with the regularizer where there is one. XLA may keep less (what fuses is not kept) and needs a
    little more (buffers of the convolutions).

    Args:
      method: what is trained.
      state, batch, frozen: arguments of the train step, or their shapes.
      accumulate: see `train_step`.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    per_phase = []
    for phase in method.phases:
        kept = functools.partial(_kept, phase)
        shapes = jax.eval_shape(
            kept, state.params, Context(batch, key, state.step, state.carry, frozen)
        )
        per_phase.append(sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(shapes)))
    return max(per_phase) // accumulate


def _kept(phase: Phase, params: Params, context: Context) -> list[Array]:
    """What the backward pass of `phase` reads, but for the arguments."""
    loss = with_regularizer(phase.loss, phase.regularizer)

    def of_role(role_params: PyTree) -> tuple[Array, Any]:
        return loss({**params, phase.role: role_params}, context)

    _, pullback, _ = jax.vjp(of_role, params[phase.role], has_aux=True)
    given = {id(x) for x in jax.tree.leaves((params, context))}
    found = {id(x): x for x in jax.tree.leaves(pullback) if isinstance(x, jax.Array)}
    return [x for name, x in found.items() if name not in given]
