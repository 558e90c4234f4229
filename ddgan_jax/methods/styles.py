"""Training of generators of StyleGAN2's kind: style mixing, average of w, path length.

Karras et al. 2019 (arXiv 1812.04948) and 2020 (arXiv 1912.04958). `methods/gan.py` makes images
with these functions if its generator has styles, so that GAN and Diffusion-GAN can use them.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from ddgan_jax.config import Field, check
from ddgan_jax.config.fields import choice, integer, number
from ddgan_jax.core.random import per_sample_normal
from ddgan_jax.core.types import (
    Array,
    Aux,
    Context,
    Params,
    PyTree,
    Space,
    StyleGenerator,
    Styles,
)
from ddgan_jax.methods.conditioning import draw_labels

PATH = 3  # key of the path length penalty within a phase
DIRECTION = 5  # key of its random directions


class StyleParts(NamedTuple):
    """A generator with styles and the settings of its training, static.

    Attributes:
      generator: the network.
      space: the space that images are in.
      latent_size: numbers in z.
      classes: labels are 0..classes-1; 0: unconditional.
      mixing: probability that the images of a phase are made of two w each.
      average_decay: decay of the moving average of w, each time that w are averaged.
      random_noise: whether samples have noise of their own.
      path_weight: weight of the path length penalty; 0: none.
      path_decay: decay of the moving average of path lengths is 1 - path_decay.
      path_share: share of the batch that the penalty is computed on.
    """

    generator: StyleGenerator
    space: Space
    latent_size: int
    classes: int = 0
    mixing: float = 0.0
    average_decay: float = 0.995
    random_noise: bool = True
    path_weight: float = 0.0
    path_decay: float = 0.01
    path_share: float = 0.5


class StyleState(NamedTuple):
    """What training remembers of styles.

    Attributes:
      w_average: float32 [W], the moving average of w.
      path_length: float32 scalar, the moving average of path lengths.
      noise: for each layer, the noise image float32 [r, r] of samples with constant noise.
    """

    w_average: Array
    path_length: Array
    noise: tuple[Array, ...]


def init_params(parts: StyleParts, key: Array) -> PyTree:
    """Parameters of the generator."""
    z, labels = jnp.zeros((1, parts.latent_size)), jnp.zeros(1, jnp.int32)
    return parts.generator.init(key, z, labels)["params"]


def init_state(parts: StyleParts, key: Array) -> StyleState:
    """The state before the first step."""
    w = jax.eval_shape(
        lambda: _map(parts, init_params(parts, key), jnp.zeros((1, parts.latent_size)), None)
    )
    sizes = parts.generator.noise_sizes
    noise = tuple(
        jax.random.normal(jax.random.fold_in(key, i), (size, size)) for i, size in enumerate(sizes)
    )
    return StyleState(jnp.zeros(w.shape[1]), jnp.zeros(()), noise)


def _map(parts: StyleParts, params: PyTree, z: Array, labels: Array | None) -> Array:
    labels = jnp.zeros(len(z), jnp.int32) if labels is None else labels
    return parts.generator.apply({"params": params}, z, labels, method="map")


def _for_all_layers(parts: StyleParts, w: Array) -> Array:
    return jnp.broadcast_to(w[:, None], (w.shape[0], parts.generator.num_layers, w.shape[1]))


def _draw(
    parts: StyleParts, params: PyTree, key: Array, labels: Array
) -> tuple[Array, Array, list[Array]]:
    """(ws [B, L, W], the w [B, W] that they were mixed from, noise of every layer)."""
    count, layers = len(labels), parts.generator.num_layers
    key_z, key_other, key_cut, key_mixed, key_noise = (jax.random.fold_in(key, i) for i in range(5))
    w = _map(parts, params, jax.random.normal(key_z, (count, parts.latent_size)), labels)
    ws = _for_all_layers(parts, w)
    if parts.mixing > 0:
        other = jax.random.normal(key_other, (count, parts.latent_size))
        other = _for_all_layers(parts, _map(parts, params, other, labels))
        mixed = jax.random.uniform(key_mixed) < parts.mixing
        cut = jnp.where(mixed, jax.random.randint(key_cut, (), 1, layers), layers)
        ws = jnp.where(jnp.arange(layers)[None, :, None] < cut, ws, other)
    noise = [
        jax.random.normal(jax.random.fold_in(key_noise, i), (count, size, size))
        for i, size in enumerate(parts.generator.noise_sizes)
    ]
    return ws, w, noise


def _synthesize(parts: StyleParts, params: PyTree, ws: Array, noise: Any) -> Array:
    return parts.generator.apply({"params": params}, ws, noise, method="synthesize")


def training_images(
    parts: StyleParts, params: PyTree, key: Array, labels: Array
) -> tuple[Array, Array]:
    """Images of a phase, and the w [B, W] that `update` averages.

    Each image is made of one w or, with probability `mixing` (drawn once for the batch), of two:
    the first layers of one, the others of another, from a layer on that is drawn uniformly.
    """
    ws, w, noise = _draw(parts, params, key, labels)
    return _synthesize(parts, params, ws, noise), jax.lax.stop_gradient(w)


def lengths_along(make: Callable[[Array], Array], ws: Array, direction: Array) -> Array:
    """Lengths [B] of the gradient of images with respect to their ws, in a direction.

      sqrt(mean_l sum_i (d sum(y n) / d w_li)^2 / (H W))

    Args:
      make: ws [B, L, W] -> images y [B, H, W, C].
      ws: where the gradient is taken.
      direction: n, of the images' shape.
    """
    scale = (direction.shape[1] * direction.shape[2]) ** -0.5
    slope = jax.grad(lambda ws: jnp.sum(make(ws) * direction) * scale)(ws)
    lengths: Array = jnp.sqrt(jnp.mean(jnp.sum(jnp.square(slope), axis=2), axis=1))
    return lengths


def path_penalty(parts: StyleParts, lengths: Array, average: Array) -> tuple[Array, Array]:
    """weight E (length - a)^2 for lengths [B], and a, the moving average that has seen them.

    a is a constant for the gradient.
    """
    mean = jax.lax.stop_gradient(jnp.mean(lengths))
    average = average + parts.path_decay * (mean - average)
    return parts.path_weight * jnp.mean(jnp.square(lengths - average)), average


def path_regularizer(parts: StyleParts, params: Params, context: Context) -> tuple[Array, Aux]:
    """The path length penalty of Karras et al. 2020, on a part of the batch, as a regularizer."""
    labels = context.batch["label"]
    labels = labels[: max(int(len(labels) * parts.path_share), 1)]
    key = jax.random.fold_in(context.key, PATH)
    ws, _, noise = _draw(parts, params["gen"], key, labels)
    direction = jax.random.normal(
        jax.random.fold_in(key, DIRECTION), (len(labels), *parts.space.shape)
    )
    make = partial(_synthesize, parts, params["gen"], noise=noise)
    lengths = lengths_along(make, ws, direction)
    penalty, _ = path_penalty(parts, lengths, context.carry.shared["styles"].path_length)
    metrics = {"path_length": jnp.mean(lengths), "path_penalty": penalty}
    return penalty, Aux(metrics, {"path_lengths": jax.lax.stop_gradient(lengths)})


def update(
    parts: StyleParts, state: StyleState, outputs: Mapping[str, Mapping[str, Array]]
) -> StyleState:
    """The state after a step, from the outputs of its phases in their order.

    The average of w moves once for each role that made images, as the published one does (which
    also moves in the phases of regularizers).
    """
    average, length, decay = state.w_average, state.path_length, parts.average_decay
    for found in outputs.values():
        average = average * decay + jnp.mean(found["w"], axis=0) * (1 - decay)
        if "path_lengths" in found:
            _, length = path_penalty(parts, found["path_lengths"], length)
    return StyleState(average, length, state.noise)


def learned(state: StyleState) -> dict[str, PyTree]:
    """What sampling needs of the state, see `Method.learned`."""
    return {"styles": {"w_average": state.w_average, "noise": list(state.noise)}}


def sampling(parts: StyleParts) -> Styles:
    """`Method.styles`: mapping and synthesis on moving averages and `learned`."""

    def mapped(
        params: Params,
        keys: Array,
        labels: Array | None = None,
        psi: float = 1.0,
        cutoff: int | None = None,
    ) -> Array:
        labels = draw_labels(keys, 1, parts.classes, labels)
        z = per_sample_normal(keys, 0, 0, (parts.latent_size,))
        ws = _for_all_layers(parts, _map(parts, params["gen"], z, labels))
        if psi == 1.0:
            return ws
        average = params["styles"]["w_average"]
        towards = average + psi * (ws - average)
        inside = jnp.arange(ws.shape[1]) < (ws.shape[1] if cutoff is None else cutoff)
        return jnp.where(inside[None, :, None], towards, ws)

    def synthesize(params: Params, ws: Array, keys: Array | None, frozen: PyTree) -> Array:
        noise = params["styles"]["noise"]
        if keys is not None:
            noise = [per_sample_normal(keys, 2, i, n.shape) for i, n in enumerate(noise)]
        return parts.space.decode(_synthesize(parts, params["gen"], ws, noise), frozen)

    return Styles(mapped, synthesize, parts.random_noise)


FIELDS: dict[str, Field] = {
    "styles.mixing": number(
        0.0, 0, 1, help="probability of images that are made of two w, in training"
    ),
    "styles.average_decay": number(
        0.995, 0, 1, open_high=True, help="decay of the moving average of w, for truncation"
    ),
    "styles.noise": choice(
        "random", "random", "constant", help="noise of samples: of their own, or one for all"
    )._replace(may_change=True),
    "path_length.weight": number(0.0, help="weight of the path length penalty; 0: none"),
    "path_length.every": integer(4, help="steps between two applications of the penalty"),
    "path_length.decay": number(
        0.01, 0, 1, open_low=True, help="how far one application moves the average path length"
    ),
    "path_length.share": number(
        0.5, 0, 1, open_low=True, help="share of the batch that the penalty is computed on"
    ),
}


def check_unused(config: ConfigDict) -> None:
    """Check that a config of a generator without styles asks for nothing that needs them.

    Raises:
      UserError: it does.
    """
    allowed = f"0 with config.gen.network = {config.gen.network!r}, which has no styles,"
    for field in ("styles.mixing", "path_length.weight"):
        section, name = field.split(".")
        check(config, field, config[section][name] == 0, allowed)


def from_config(config: ConfigDict, generator: StyleGenerator, space: Space) -> StyleParts:
    """The parts that a complete config describes.

    Raises:
      UserError: config.noise is "image".
    """
    allowed = f"'latent' with config.gen.network = {config.gen.network!r}"
    check(config, "noise", config.noise == "latent", allowed)
    return StyleParts(
        generator=generator,
        space=space,
        latent_size=config.latent_size,
        classes=config.classes,
        mixing=config.styles.mixing,
        average_decay=config.styles.average_decay,
        random_noise=config.styles.noise == "random",
        path_weight=config.path_length.weight,
        path_decay=config.path_length.decay,
        path_share=config.path_length.share,
    )
