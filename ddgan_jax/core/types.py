"""The contracts: what a method, a phase, a process, a space and the train state are.

Everything here is a value. A method is built once from a config; `train_step.train_step` runs any
of them without knowing which one it has.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import optax

Array = jax.Array
PyTree = Any
Params = Mapping[str, PyTree]  # role ("gen", "disc", ...) -> parameters of that role's network
Metrics = dict[str, Array]  # name -> float32 scalar


class Carry(NamedTuple):
    """What a method remembers between steps.

    Attributes:
      samples: leaves [B, ...], row i belongs to row i of the batch and goes where that goes when
        the batch is split (gradient accumulation).
      shared: the rest.
    """

    samples: PyTree = ()
    shared: PyTree = ()


class Context(NamedTuple):
    """What a loss may look at besides parameters."""

    batch: Mapping[str, Array]  # "image": the data as loaded, [B, ...]; "label": int32 [B]
    key: Array  # typed PRNG key, this phase's own
    step: Array  # int32 scalar, number of train steps done so far
    carry: Carry  # what the method remembers between steps
    frozen: PyTree  # parameters of networks that never train (autoencoder, LPIPS, ...)


class Aux(NamedTuple):
    """What a loss returns beside its value."""

    metrics: Metrics = {}  # logged as "<role>/<name>"
    outputs: PyTree = None  # leaves [B, ...], handed to `Method.carry_update`


LossFn = Callable[[Params, Context], tuple[Array, Aux]]


class Phase(NamedTuple):
    """One player's turn in a train step: the parameters of `role` move to lower `loss`.

    `regulariser` is a second term of the same signature that is too dear for every step: it is
    added at steps 0, `regularise_every`, 2 `regularise_every`, ... and, as in the published
    training of DDGAN, not multiplied by the interval. It gets the same context (and so the same
    key) as `loss`; whatever both compute is computed once.
    """

    role: str
    loss: LossFn
    regulariser: LossFn | None = None
    regularise_every: int = 1


def _no_carry(key: Array) -> Carry:
    del key
    return Carry()


def _keep_carry(carry: Carry, outputs: Mapping[str, PyTree], context: Context) -> Carry:
    del outputs, context
    return carry


def _nothing_learned(carry: Carry) -> dict[str, PyTree]:
    del carry
    return {}


class Method(NamedTuple):
    """A generative method: pure functions over `Params`.

    Attributes:
      init: key -> `Params`.
      phases: the players' turns, in order.
      sample: (params, keys [B], frozen, labels) -> float32 data [B, ...] in the data's own range
        ([-1, 1] for images). One key per sample: sample i depends on keys[i] (and labels[i]) alone,
        whatever the batch and however it is laid out over devices. `labels`, int32 [B], for
        class-conditional models; without them classes are drawn evenly. None: the method rebuilds
        data by `encode` and `decode`, and what it rebuilds is looked at and evaluated.
      ema_roles: roles whose exponential moving average is kept, and used for sampling.
      carry_init, carry_update: what the method remembers between steps. `carry_update` sees the
        `Aux.outputs` of every phase, by role.
      learned: carry -> what sampling needs of it, as roles of their own that stand beside the
        averages in `TrainState.ema`, and so in every checkpoint and in the `Params` of `sample`.
      prior: (keys [B], labels) -> (latents [B, ...], labels int32 [B]), what `sample` decodes; its
        labels are those given, or drawn.
      encode: (params, images, labels) -> latents.
      decode: (params, latents, labels) -> images.
      refine: (params, images, labels, latents, steps, learning_rate) -> latents that decode to
        something closer to the images.
      path: (params, latents, labels) -> the intermediate images of `decode`, stacked over time.
      degrade: (images, t) -> x_t, for methods that degrade without noise.
      nfe: network evaluations that one call of `sample` makes.
    """

    init: Callable[[Array], dict[str, PyTree]]
    phases: tuple[Phase, ...]
    sample: Callable[..., Array] | None
    ema_roles: tuple[str, ...]
    nfe: int
    carry_init: Callable[[Array], Carry] = _no_carry
    carry_update: Callable[[Carry, Mapping[str, PyTree], Context], Carry] = _keep_carry
    learned: Callable[[Carry], dict[str, PyTree]] = _nothing_learned
    prior: Callable[..., tuple[Array, Array]] | None = None
    encode: Callable[[Params, Array, Array], Array] | None = None
    decode: Callable[[Params, Array, Array], Array] | None = None
    refine: Callable[[Params, Array, Array, Array, int, float], Array] | None = None
    path: Callable[[Params, Array, Array], tuple[Array, Array]] | None = None
    degrade: Callable[..., Array] | None = None


class Process(NamedTuple):
    """How data is destroyed and how one step of that is undone, for times t in {0..num_steps-1}.

    Attributes:
      num_steps: T.
      corrupt: (key, x_0 [B, ...], t int32 [B]) -> (x_t, x_{t+1}), a draw of the forward pair.
      restore: (noise [B, ...], x_0, x_{t+1}, t) -> x_t, a draw of q(x_t | x_{t+1}, x_0) made
        from the given standard normal noise.
      prior: (key, shape) -> x_T.
    """

    num_steps: int
    corrupt: Callable[[Array, Array, Array], tuple[Array, Array]]
    restore: Callable[[Array, Array, Array, Array], Array]
    prior: Callable[[Array, tuple[int, ...]], Array]


class Space(NamedTuple):
    """Where a method works: pixels, Haar bands, latents of an autoencoder.

    Attributes:
      shape: of one example in the space.
      encode: (data as loaded [B, ...], frozen) -> float32 [B, *shape], about [-1, 1].
      decode: (x [B, *shape], frozen) -> float32 [B, ...] in the data's own range.
    """

    shape: tuple[int, ...]
    encode: Callable[[Array, PyTree], Array]
    decode: Callable[[Array, PyTree], Array]


class TrainState(NamedTuple):
    """Everything that changes during training, and all that a resumed run needs.

    `key` is the raw uint32 data of the run's key, never split, only folded with `step`: a resumed
    run draws what the run that was never stopped would have drawn.
    """

    step: Array
    key: Array
    params: dict[str, PyTree]
    opt_state: dict[str, optax.OptState]
    ema: dict[str, PyTree]
    carry: Carry
