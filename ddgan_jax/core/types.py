"""The contracts: methods, phases, spaces, networks and the train state.

Everything here is a value or a protocol. A method is built once from a config;
`train_step.train_step` runs any of them without knowing which one it has.

Shapes are written `[B, ...]`: B is the batch, `...` the shape of one example in the space that the
method works in, `data` the shape of one example as it is loaded.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import optax

Array = jax.Array
PyTree = Any
Shape = tuple[int, ...]
Params = Mapping[str, PyTree]  # role ("gen", "disc", ...) -> parameters of that role's network
Metrics = dict[str, Array]  # name -> float32 scalar


class Generator(Protocol):
    """A network (x, t, z) -> x_0 or noise: what a denoising step, or a GAN, draws from.

    `apply` takes {"params": ...}, x float32 [B, ...], t int32 [B], z float32 [B, E] and whether it
    trains, and returns float32 [B, ...]. z is the latent, followed by the class of a conditional
    model and, in DDDG, the time. With dropout `apply` needs rngs={"dropout": key}.
    """

    def init(self, key: Array, x: Array, t: Array, z: Array, /) -> Mapping[str, PyTree]:
        """Initial variables for inputs of these shapes."""
        ...

    def apply(
        self,
        variables: Mapping[str, PyTree],
        x: Array,
        t: Array,
        z: Array,
        train: bool = False,
        /,
        *,
        rngs: Mapping[str, Array] | None = None,
    ) -> Array:
        """The network's output, float32 [B, ...]."""
        ...


class StyleGenerator(Protocol):
    """A generator of StyleGAN2's kind: latent -> w -> image, with a w for each layer.

    `apply` takes {"params": ...} and the arguments of one of the methods "map" (z float32 [B, nz],
    labels int32 [B] -> w float32 [B, W]) and "synthesize" (ws float32 [B, L, W], noise -> images
    float32 [B, ...]). Noise has an image for each of `noise_sizes`, float32 [B, r, r] or, one for
    all samples, [r, r].
    """

    @property
    def num_layers(self) -> int:
        """L, number of w that an image is made of."""
        ...

    @property
    def noise_sizes(self) -> tuple[int, ...]:
        """Height and width of the noise image of each layer."""
        ...

    def init(self, key: Array, z: Array, labels: Array, /) -> Mapping[str, PyTree]:
        """Initial variables for inputs of these shapes."""
        ...

    def apply(self, variables: Mapping[str, PyTree], /, *args: Any, method: str) -> Array:
        """The result of `method`."""
        ...


class Discriminator(Protocol):
    """A network (x_t, t, x_{t+1}) -> logits, float32 [B], or [B, classes].

    Methods that discriminate single images pass an x_{t+1} without channels.
    """

    def init(self, key: Array, x_t: Array, t: Array, x_next: Array, /) -> Mapping[str, PyTree]:
        """Initial variables for inputs of these shapes."""
        ...

    def apply(
        self, variables: Mapping[str, PyTree], x_t: Array, t: Array, x_next: Array, /
    ) -> Array:
        """Logits, float32 [B] or [B, classes]."""
        ...


class Encoder(Protocol):
    """A discriminator (x, t) that also predicts latents.

    `apply` returns (logits float32 [B, max(classes, 1)], latents float32 [B, L]); with
    `logits=False` the logits are None and the batch may have any size.
    """

    def init(self, key: Array, x: Array, t: Array, /) -> Mapping[str, PyTree]:
        """Initial variables for inputs of these shapes."""
        ...

    def apply(
        self, variables: Mapping[str, PyTree], x: Array, t: Array, /, *, logits: bool = True
    ) -> tuple[Any, Array]:
        """(logits or None, predicted latents)."""
        ...


class Autoencoder(Protocol):
    """A network whose methods are chosen by `apply(method=...)`.

    encode: image float32 [B, H, W, C] -> (latents float32 [B, h, w, c], log-variance or None);
    rebuild: latents, quantized if there are codes -> image;
    decode: latents -> image; quantizes first if there are codes;
    quantize: latents -> (the nearest codes, their indices); only if there are codes.

    Attributes:
      gaussian: whether the encoder gives a mean and a log-variance.
      codes: number of codes that latents are quantized to before they are decoded; 0: none.

    With an attribute `dropout`, a rate above 0, `encode` and `rebuild` are given a second argument,
    True, and a key "dropout" in training.
    """

    gaussian: bool
    codes: int

    def init(self, key: Array, x: Array, /) -> Mapping[str, PyTree]:
        """Initial variables for images of this shape."""
        ...

    def apply(
        self,
        variables: Mapping[str, PyTree],
        x: Array,
        train: bool = False,
        /,
        *,
        method: str,
        rngs: Mapping[str, Array] | None = None,
    ) -> Any:
        """The result of `method`."""
        ...

    def latents_of(self, shape: Shape) -> Shape:
        """The shape of the latents of one image of `shape`."""
        ...


class Carry(NamedTuple):
    """What a method remembers between train steps.

    Attributes:
      samples: leaves [B, ...]; row i belongs to row i of the batch and is split with it over
        devices and in gradient accumulation.
      shared: everything else.
    """

    samples: PyTree = ()
    shared: PyTree = ()


class Context(NamedTuple):
    """The inputs of a loss besides the parameters.

    Attributes:
      batch: "image": the data as loaded, [B, *data]; "label": int32 [B].
      key: typed PRNG key of this phase.
      step: int32 scalar, number of train steps done so far.
      carry: what the method remembers between steps.
      frozen: parameters of networks that never train (autoencoder, LPIPS, ...), by name.
    """

    batch: Mapping[str, Array]
    key: Array
    step: Array
    carry: Carry
    frozen: PyTree

    def part(self, index: int, parts: int) -> "Context":
        """The same with every `parts`-th sample of batch and carry, starting at `index`."""
        whole = (self.batch, self.carry.samples)
        batch, samples = jax.tree.map(lambda x: x.reshape(-1, parts, *x.shape[1:])[:, index], whole)
        return self._replace(batch=batch, carry=self.carry._replace(samples=samples))


class Aux(NamedTuple):
    """What a loss returns beside its value.

    Attributes:
      metrics: logged as "<role>/<name>".
      outputs: leaves [B, ...], or [1, ...] for a statistic of the batch, passed to
        `Method.carry_update`. With gradient accumulation they are those of all parts.
    """

    metrics: Metrics = {}
    outputs: PyTree = None


LossFn = Callable[[Params, Context], tuple[Array, Aux]]


class Phase(NamedTuple):
    """One player's turn in a train step: a gradient step on the parameters of `role`.

    Attributes:
      role: whose parameters move.
      loss: what they minimize.
      regularizer: lazy regularization: a second term, added at steps 0, `regularize_every`,
        2 `regularize_every`, ... and not rescaled by the interval (as DDGAN's published training).
        It gets the same context, and so the same key, as `loss`: XLA computes shared parts once.
      regularize_every: steps between two applications of `regularizer`.
      own_step: the regularizer is not added to the loss, but minimized by a gradient step of its
        own after that of the loss, with a key of its own (as StyleGAN2's published training).
    """

    role: str
    loss: LossFn
    regularizer: LossFn | None = None
    regularize_every: int = 1
    own_step: bool = False


class Inversion(NamedTuple):
    """Functions of a method that maps data to latents and back.

    Attributes:
      encode: (params, images [B, *data], labels int32 [B]) -> latents [B, ...].
      decode: (params, latents, labels) -> images float32 [B, *data].
      prior: (keys [B], labels or None) -> (latents, labels): the latents that `sample` decodes;
        None if latents have no prior to sample from.
      refine: (params, images, labels, latents, steps, learning_rate) -> latents that decode to
        something closer to the images.
      path: (params, latents, labels) -> the intermediate images of `decode`, a tuple of arrays
        stacked over time, [T, B, *data] each.
      degrade: (images, t) -> x_t, for a method whose degradation is deterministic.
    """

    encode: Callable[[Params, Array, Array], Array]
    decode: Callable[[Params, Array, Array], Array]
    prior: Callable[..., tuple[Array, Array]] | None = None
    refine: Callable[[Params, Array, Array, Array, int, float], Array] | None = None
    path: Callable[[Params, Array, Array], tuple[Array, ...]] | None = None
    degrade: Callable[[Array, Array], Array] | None = None


class Styles(NamedTuple):
    """Functions of methods whose generator makes images of styles, a w for each of its layers.

    Attributes:
      map: (params, keys [B], labels int32 [B] or None, psi, cutoff) -> ws float32 [B, L, W], those
        that `sample` makes images of, truncated: w_average + psi (w - w_average) in the first
        `cutoff` layers, or in all of them if it is None.
      synthesize: (params, ws, keys [B] or None, frozen) -> images float32 [B, *data]. Sample i has
        noise of keys[i]; without keys, all have the same noise.
      random_noise: whether `sample` passes keys to `synthesize`.
    """

    map: Callable[[Params, Array, Array | None, float, int | None], Array]
    synthesize: Callable[[Params, Array, Array | None, PyTree], Array]
    random_noise: bool = True

    def sample(
        self,
        params: Params,
        keys: Array,
        frozen: PyTree,
        labels: Array | None = None,
        psi: float = 1.0,
        cutoff: int | None = None,
    ) -> Array:
        """`Method.sample` with truncation."""
        ws = self.map(params, keys, labels, psi, cutoff)
        return self.synthesize(params, ws, keys if self.random_noise else None, frozen)


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
    """A generative method as pure functions over `Params`.

    Attributes:
      init: key -> parameters of every role.
      phases: the players' turns, in order.
      sample: (params, keys [B], frozen, labels int32 [B] or None) -> float32 data [B, *data] in the
        data's own range ([-1, 1] for images). Sample i depends on keys[i] (and labels[i]) only, for
        every batch size and sharding. Without labels, classes are drawn uniformly. None for a
        method that reconstructs instead of sampling; it has an `inversion`.
      ema_roles: roles whose exponential moving average is kept, and used for sampling.
      nfe: number of network evaluations that one call of `sample` makes.
      carry_init: key -> what the method remembers before the first step.
      carry_update: (carry, `Aux.outputs` of every phase by role, context) -> the next carry.
      learned: carry -> what sampling needs of it, as further roles that are stored with the moving
        averages and passed to `sample`.
      trajectory: (params, keys [B], frozen, labels or None) -> [K, B, *data], the images that
        sampling passes through, from noise to sample; None if the method does not show them.
      evaluation: (params, batch size) -> output of one network evaluation, as sampling makes it;
        what FLOPs of sampling are counted from.
      inversion: encoder and decoder of methods that have them.
      styles: mapping and synthesis of methods whose generator has styles.
      frozen: names of frozen networks that the losses read from `Context.frozen`, besides those
        of the space.
    """

    init: Callable[[Array], dict[str, PyTree]]
    phases: tuple[Phase, ...]
    sample: Callable[..., Array] | None
    ema_roles: tuple[str, ...]
    nfe: int
    carry_init: Callable[[Array], Carry] = _no_carry
    carry_update: Callable[[Carry, Mapping[str, PyTree], Context], Carry] = _keep_carry
    learned: Callable[[Carry], dict[str, PyTree]] = _nothing_learned
    trajectory: Callable[..., Array] | None = None
    evaluation: Callable[[Params, int], Array] | None = None
    inversion: Inversion | None = None
    styles: Styles | None = None
    frozen: tuple[str, ...] = ()


# Folded into the key of a phase for draws that are not the method's own; they have to differ.
DRAW_OF_SPACE, OWN_STEP, AUGMENTATION = 2**31 - 1, 2**31 - 2, 2**31 - 3


class Space(NamedTuple):
    """The space that a method works in: pixels, Haar bands, latents of an autoencoder.

    Attributes:
      shape: shape of one example in the space.
      encode: (data as loaded [B, *data], frozen) -> float32 [B, *shape], roughly in [-1, 1] (root
        mean square 1 for latents with config.space.unit='deviation').
      decode: (x [B, *shape], frozen) -> float32 [B, *data] in the data's own range.
      draw: (key, data, frozen) -> a draw of the distribution that the data have in the space, whose
        mean is `encode`; None: the space is deterministic.
      as_images: (x -> images in [-1, 1], images -> x), linear and inverse to each other; None: x is
        no linear function of images.
    """

    shape: Shape
    encode: Callable[[Array, PyTree], Array]
    decode: Callable[[Array, PyTree], Array]
    draw: Callable[[Array, Array, PyTree], Array] | None = None
    as_images: tuple[Callable[[Array], Array], Callable[[Array], Array]] | None = None

    def training_batch(self, context: Context) -> Array:
        """The batch in the space, [B, *shape]; drawn from `context.key` in a space with `draw`.

        Every call with the same context returns the same.
        """
        data = context.batch["image"]
        if self.draw is None:
            return self.encode(data, context.frozen)
        key = jax.random.fold_in(context.key, DRAW_OF_SPACE)
        return self.draw(key, data, context.frozen)


class TrainState(NamedTuple):
    """Everything that changes during training; a resumed run needs nothing else.

    Attributes:
      step: int32 scalar, number of train steps done.
      key: uint32 data of the run's PRNG key. It is only folded with `step`, never split, so a
        resumed run draws what the uninterrupted run would have drawn.
      params: parameters by role.
      opt_state: optimizer state by role.
      ema: moving averages by role, and `Method.learned`.
      carry: what the method remembers between steps.
    """

    step: Array
    key: Array
    params: dict[str, PyTree]
    opt_state: dict[str, optax.OptState]
    ema: dict[str, PyTree]
    carry: Carry
