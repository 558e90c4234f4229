"""THE train step: every method runs through it, and it knows none of them."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from ddgan_jax.core.types import (
    Array,
    Aux,
    Context,
    LossFn,
    Method,
    Metrics,
    Params,
    PyTree,
    TrainState,
)

Batch = Mapping[str, Array]
Optimisers = Mapping[str, optax.GradientTransformation]
Regularise = tuple[bool, ...]  # per phase: is its regulariser added in this step


def create_state(key: Array, method: Method, optimisers: Optimisers) -> TrainState:
    """The state before the first step, from a typed key."""
    # Apart from the run's own key, which is folded with step numbers: no key is used twice.
    init_key, carry_key, run_key = jax.random.split(key, 3)
    params, carry = method.init(init_key), method.carry_init(carry_key)
    # Copies, not aliases: a donated buffer may be given away only once.
    ema = {role: params[role] for role in method.ema_roles} | method.learned(carry)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=jax.random.key_data(run_key),
        params=params,
        opt_state={role: optimisers[role].init(params[role]) for role in optimisers},
        ema=jax.tree.map(jnp.copy, ema),
        carry=carry,
    )


def which_regularise(method: Method, step: int) -> Regularise:
    """The variant of the train step that step number `step` needs, chosen in Python.

    Two compiled variants instead of one `lax.cond`: the gradient of a convolution inside a
    conditional is a hundred times slower on CPU, and nothing is gained elsewhere.
    """
    return tuple(
        phase.regulariser is not None and step % phase.regularise_every == 0
        for phase in method.phases
    )


def train_step(
    state: TrainState,
    batch: Batch,
    frozen: PyTree,
    *,
    method: Method,
    optimisers: Optimisers,
    ema_decay: float,
    regularise: Regularise,
    accumulate: int = 1,
) -> tuple[TrainState, Metrics]:
    """One gradient step for each player in turn, then the moving average. Pure.

    Args:
      state: as `create_state` made it.
      batch: {"image": [B, ...], "label": int32 [B]}.
      frozen: parameters of networks that never train.
      method, optimisers, ema_decay: what is trained and how; static.
      regularise: see `which_regularise`; static.
      accumulate: split the batch in so many parts and average their gradients; divides B; static.

    Returns:
      The next state and float32 scalars "<role>/loss", "<role>/grad_norm", "<role>/weight_norm" and
      "<role>/<metric>".
    """
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    params, opt_state = dict(state.params), dict(state.opt_state)
    metrics: Metrics = {}
    outputs: dict[str, PyTree] = {}

    for i, (phase, regularised) in enumerate(zip(method.phases, regularise, strict=True)):
        role = phase.role
        context = Context(batch, jax.random.fold_in(key, i), state.step, state.carry, frozen)
        loss_fn = with_regulariser(phase.loss, phase.regulariser if regularised else None)
        loss, aux, grads = _value_and_grad(loss_fn, params, role, context, accumulate)
        with jax.numpy_dtype_promotion("standard"):  # optax raises floats to int32 powers
            updates, opt_state[role] = optimisers[role].update(grads, opt_state[role], params[role])
        params[role] = optax.apply_updates(params[role], updates)
        outputs[role] = aux.outputs
        # A finite norm of the weights says that they all are: what the loop saves is then sound.
        norms = {
            "grad_norm": optax.tree.norm(grads),
            "weight_norm": optax.tree.norm(params[role]),
        }
        scalars = {"loss": loss, **norms, **aux.metrics}
        metrics |= {f"{role}/{name}": value for name, value in scalars.items()}

    ema = {
        role: optax.incremental_update(params[role], state.ema[role], 1 - ema_decay)
        for role in method.ema_roles
    }
    context = Context(batch, jax.random.fold_in(key, len(method.phases)), *context[2:])
    carry = method.carry_update(state.carry, outputs, context)
    ema |= method.learned(carry)
    return TrainState(state.step + 1, state.key, params, opt_state, ema, carry), metrics


def with_regulariser(loss: LossFn, regulariser: LossFn | None) -> LossFn:
    """The sum of a phase's loss and its regulariser, if there is one."""
    if regulariser is None:
        return loss

    def total(params: Params, context: Context) -> tuple[Array, Aux]:
        value, aux = loss(params, context)
        extra, extra_aux = regulariser(params, context)
        return value + extra, Aux(aux.metrics | extra_aux.metrics, aux.outputs)

    return total


def _value_and_grad(
    loss_fn: LossFn, params: Params, role: str, context: Context, parts: int
) -> tuple[Array, Aux, PyTree]:
    """Loss, aux and gradient with respect to `params[role]`, averaged over parts of the batch.

    Parts are unrolled, not scanned (gradients of convolutions inside a loop crawl on CPU), and
    each waits for the one before, so that only one part's activations live at a time. Part i takes
    every `parts`-th sample, which leaves the layout over devices alone.
    """

    def of_role(role_params: PyTree, part: Context) -> tuple[Array, Aux]:
        return loss_fn({**params, role: role_params}, part)

    grad_fn = jax.value_and_grad(of_role, has_aux=True)
    if parts == 1:
        (loss, aux), grads = grad_fn(params[role], context)
        return loss, aux, grads

    results = []
    whole = (context.batch, context.carry.samples)
    for i in range(parts):
        batch, samples = jax.tree.map(
            lambda x, i=i: x.reshape((-1, parts, *x.shape[1:]))[:, i], whole
        )
        here = context._replace(
            batch=batch,
            key=jax.random.fold_in(context.key, i),
            carry=context.carry._replace(samples=samples),
        )
        results.append(grad_fn(params[role], here))
        results[-1], whole = jax.lax.optimization_barrier((results[-1], whole))
    metrics, outputs = zip(*(aux for (_, aux), _ in results), strict=True)
    losses = [loss for (loss, _), _ in results]
    grads = [grad for _, grad in results]

    def mean(*xs: Array) -> Array:
        return sum(xs[1:], xs[0]) / parts

    joined = jax.tree.map(lambda *xs: jnp.stack(xs, 1).reshape((-1, *xs[0].shape[1:])), *outputs)
    return mean(*losses), Aux(jax.tree.map(mean, *metrics), joined), jax.tree.map(mean, *grads)
