"""The train step that every method runs through: a gradient step per phase, then the averages."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import optax
from jax.experimental.layout import Layout, with_layout_constraint

from ddgan_jax.core.norms import tree_norm
from ddgan_jax.core.types import (
    OWN_STEP,
    Array,
    Aux,
    Carry,
    Context,
    LossFn,
    Method,
    Metrics,
    Params,
    Phase,
    PyTree,
    TrainState,
)

Batch = Mapping[str, Array]
Optimizers = Mapping[str, optax.GradientTransformation]
Decay = float | Callable[[Array], Array]  # per step, or a function of the steps done
Regularize = tuple[bool, ...]  # per phase, whether its regularizer is added in this step


def averaged(method: Method, params: Params, carry: Carry) -> dict[str, PyTree]:
    """What `TrainState.ema` holds: the networks of `Method.ema_roles`, and `Method.learned`."""
    return {role: params[role] for role in method.ema_roles} | method.learned(carry)


def create_state(key: Array, method: Method, optimizers: Optimizers) -> TrainState:
    """The state before the first step.

    Args:
      key: typed PRNG key, split into those of parameters, carry and training.
      method: what is trained.
      optimizers: optimizers by role.
    """
    init_key, carry_key, run_key = jax.random.split(key, 3)
    params, carry = method.init(init_key), method.carry_init(carry_key)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=jax.random.key_data(run_key),
        params=params,
        opt_state={role: optimizers[role].init(params[role]) for role in optimizers},
        # Copied, since params and ema are donated separately.
        ema=jax.tree.map(jnp.copy, averaged(method, params, carry)),
        carry=carry,
    )


def which_regularize(method: Method, step: int) -> Regularize:
    """Which phases add their regularizer in step number `step`.

    Python selects the variant of the step, and each that occurs is compiled. A single program with
    `lax.cond` would be about 100 times slower on CPU (gradients of convolutions inside a
    conditional).
    """
    return tuple(
        phase.regularizer is not None and step % phase.regularize_every == 0
        for phase in method.phases
    )


def train_step(
    state: TrainState,
    batch: Batch,
    frozen: PyTree,
    *,
    method: Method,
    optimizers: Optimizers,
    ema_decay: Decay,
    regularize: Regularize,
    accumulate: int = 1,
) -> tuple[TrainState, Metrics]:
    """One gradient step for each phase in turn, then the moving averages. Pure.

    Each step sets average = d average + (1 - d) p, with the updated parameters p and d =
    `ema_decay` of the steps done; the average begins as the initial parameters p_0. With a constant
    d it is d^k p_0 + (1 - d) sum_i d^(k - i) p_i, i = 1..k, after k steps. DDGAN's published
    average has p_1 in the place of p_0.

    Args:
      state: result of `create_state` or of an earlier step.
      batch: {"image": [B, *data], "label": int32 [B]}.
      frozen: parameters of networks that never train, by name.
      method: what is trained; static.
      optimizers: optimizers by role; static.
      ema_decay: decay of the moving averages per step, or a function of the steps done; static.
      regularize: see `which_regularize`; static.
      accumulate: number of parts of the batch whose gradients are averaged; divides B; static.

    Returns:
      The next state and float32 scalars "<role>/loss", "<role>/grad_norm", "<role>/weight_norm" and
      "<role>/<metric>", means over the turns of a role.
    """
    key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
    params, opt_state = dict(state.params), dict(state.opt_state)
    turns: dict[str, list[Aux]] = {phase.role: [] for phase in method.phases}

    for i, (phase, regularized) in enumerate(zip(method.phases, regularize, strict=True)):
        role, found = phase.role, Aux()
        metrics: Metrics = {}
        phase_key = jax.random.fold_in(key, i)
        for j, loss_fn in enumerate(_losses(phase, regularized)):
            turn_key = jax.random.fold_in(phase_key, OWN_STEP) if j else phase_key
            context = Context(batch, turn_key, state.step, state.carry, frozen)
            loss, aux, grads = _value_and_grad(loss_fn, params, role, context, accumulate)
            grads = _row_major(grads)
            with jax.numpy_dtype_promotion("standard"):  # optax raises floats to int32 powers
                updates, opt_state[role] = optimizers[role].update(
                    grads, opt_state[role], params[role]
                )
            params[role] = optax.apply_updates(params[role], updates)
            # The loop checks these: a finite norm means that all weights are finite.
            norms = {
                "grad_norm": tree_norm(grads),
                "weight_norm": tree_norm(params[role]),
            }
            scalars = {"loss": loss, **norms} if j == 0 else {"weight_norm": norms["weight_norm"]}
            metrics |= {**scalars, **aux.metrics}
            found = _merged(found, aux)
        turns[role].append(Aux(metrics, found.outputs))

    ended = {role: _of_all_turns(auxes) for role, auxes in turns.items()}
    decay = ema_decay(state.step) if callable(ema_decay) else ema_decay
    ema = {
        role: optax.incremental_update(params[role], state.ema[role], 1 - decay)
        for role in method.ema_roles
    }
    key = jax.random.fold_in(key, len(method.phases))
    context = Context(batch, key, state.step, state.carry, frozen)
    outputs = {role: aux.outputs for role, aux in ended.items()}
    carry = method.carry_update(state.carry, outputs, context)
    ema |= method.learned(carry)
    named = {
        f"{role}/{name}": value
        for role, aux in ended.items()
        for name, value in aux.metrics.items()
    }
    return TrainState(state.step + 1, state.key, params, opt_state, ema, carry), named


def _row_major(grads: PyTree) -> PyTree:
    """The same gradients in the memory order of the parameters, on accelerators.

    XLA for GPUs computes gradients of convolution kernels with the output channels first. Without
    this constraint it chooses that order for the optimizer too, and transposes parameters, moments
    and averages before each update and back after it.
    """

    def constrained(tree: PyTree) -> PyTree:
        return jax.tree.map(lambda g: with_layout_constraint(g, Layout(tuple(range(g.ndim)))), tree)

    return jax.lax.platform_dependent(grads, cpu=lambda tree: tree, default=constrained)


def _losses(phase: Phase, regularized: bool) -> tuple[LossFn, ...]:
    """What the role of a phase minimizes, one gradient step for each."""
    regularizer = phase.regularizer if regularized else None
    if phase.own_step and regularizer is not None:
        return phase.loss, regularizer
    return (with_regularizer(phase.loss, regularizer),)


def _merged(first: Aux, second: Aux) -> Aux:
    """Both metrics, and both outputs: dictionaries if both have some."""
    if first.outputs is None or second.outputs is None:
        outputs = second.outputs if first.outputs is None else first.outputs
    else:
        outputs = first.outputs | second.outputs
    return Aux(first.metrics | second.metrics, outputs)


def _of_all_turns(turns: Sequence[Aux]) -> Aux:
    """Means of the metrics over the turns of a role that have them, and all outputs in one array.

    A role has several turns in a step if a GAN has `adversarial.disc_steps` above 1.
    """
    if len(turns) == 1:
        return turns[0]
    found: dict[str, list[Array]] = {}
    for turn in turns:
        for name, value in turn.metrics.items():
            found.setdefault(name, []).append(value)
    metrics = {name: sum(values[1:], values[0]) / len(values) for name, values in found.items()}
    outputs = [turn.outputs for turn in turns if turn.outputs is not None]
    joined = jax.tree.map(lambda *xs: jnp.concatenate(xs), *outputs) if outputs else None
    return Aux(metrics, joined)


def with_regularizer(loss: LossFn, regularizer: LossFn | None) -> LossFn:
    """The sum of a loss and a regularizer; the loss alone if there is none."""
    if regularizer is None:
        return loss

    def total(params: Params, context: Context) -> tuple[Array, Aux]:
        value, aux = loss(params, context)
        extra, extra_aux = regularizer(params, context)
        return value + extra, _merged(aux, extra_aux)

    return total


def _value_and_grad(
    loss_fn: LossFn, params: Params, role: str, context: Context, parts: int
) -> tuple[Array, Aux, PyTree]:
    """Loss, aux and gradient with respect to `params[role]`, averaged over parts of the batch.

    The loop over parts is unrolled, because gradients of convolutions inside `lax.scan` are slow on
    CPU. Optimization barriers run the parts one after the other, so that the activations of one
    part are in memory at a time. Part i takes every `parts`-th sample, starting at i, so the
    sharding of the batch stays as it is.
    """

    def of_role(role_params: PyTree, part: Context) -> tuple[Array, Aux]:
        return loss_fn({**params, role: role_params}, part)

    grad_fn = jax.value_and_grad(of_role, has_aux=True)
    if parts == 1:
        (loss, aux), grads = grad_fn(params[role], context)
        return loss, aux, grads

    results = []
    for i in range(parts):
        here = context.part(i, parts)._replace(key=jax.random.fold_in(context.key, i))
        results.append(grad_fn(params[role], here))
        whole = (context.batch, context.carry.samples)
        results[-1], (batch, samples) = jax.lax.optimization_barrier((results[-1], whole))
        context = context._replace(batch=batch, carry=context.carry._replace(samples=samples))
    metrics, outputs = zip(*(aux for (_, aux), _ in results), strict=True)
    losses = [loss for (loss, _), _ in results]
    grads = [grad for _, grad in results]

    def mean(*xs: Array) -> Array:
        return sum(xs[1:], xs[0]) / parts

    joined = jax.tree.map(lambda *xs: jnp.stack(xs, 1).reshape((-1, *xs[0].shape[1:])), *outputs)
    return mean(*losses), Aux(jax.tree.map(mean, *metrics), joined), jax.tree.map(mean, *grads)
