"""What methods share: DDGAN's networks told less (no latent, no x_{t+1}) or more (the class).

Classes (CAGAN, as in DDDG): the generator is told the class, the discriminator has an adversarial
value for each, and only that of the sample's class counts. In training fakes have the labels of the
batch; samples draw theirs evenly.
"""

from typing import Any

import jax
import jax.numpy as jnp

from ddgan_jax.core.types import Array, Params


def no_latent(count: int) -> Array:
    """[B, 1], the same for all samples: what a generator makes of it are learned constants."""
    return jnp.ones((count, 1))


def judge_one(discriminator: Any, params: Params, x: Array, t: Array) -> Array:
    """D(x, t): the discriminator of pairs, with a second image that has no channels."""
    return discriminator.apply({"params": params["disc"]}, x, t, x[..., :0])


def init_judge_one(discriminator: Any, key: Array, x: Array) -> Any:
    """Parameters for `judge_one` from a typed key and an example [B, ...]."""
    return discriminator.init(key, x, jnp.zeros(x.shape[0], jnp.int32), x[..., :0])["params"]


def one_hot(labels: Array, classes: int) -> Array:
    """int32 [B] -> float32 [B, classes] with mean square 1."""
    return jax.nn.one_hot(labels, classes) * classes**0.5


def with_class(z: Array, labels: Array, classes: int) -> Array:
    """Z [B, E] and behind it the class, `one_hot`: [B, E + classes]; z itself without classes."""
    return jnp.concatenate([z, one_hot(labels, classes)], axis=-1) if classes else z


def of_class(values: Array, labels: Array) -> Array:
    """Of adversarial values [B, classes] each sample's own, [B]; values [B] as they are."""
    if values.ndim == 1:
        return values
    return jnp.take_along_axis(values, labels[:, None], axis=1)[:, 0]


def draw_labels(keys: Array, step: int, classes: int, asked: Array | None = None) -> Array:
    """The classes asked for, or else drawn evenly, int32 [B]: row i a function of (keys[i], step).

    0 without classes.
    """
    if asked is not None:
        return asked

    def draw(key: Array) -> Array:
        return jax.random.randint(jax.random.fold_in(key, step), (), 0, max(classes, 1))

    return jax.vmap(draw)(keys)
