"""Helpers shared by the methods: class conditioning, networks without latent or second image.

Class conditioning follows CAGAN (as in DDDG): the class is appended to the generator's latent as a
one-hot vector, the discriminator gives one logit per class, and the sample's class selects one. In
training fake images have the labels of the batch; when sampling, classes are drawn uniformly.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from ddgan_jax.core.types import Array, Discriminator, Params, PyTree


def constant_latent(count: int) -> Array:
    """Ones [B, 1], the latent of a generator that has none."""
    return jnp.ones((count, 1))


def single_image_logits(discriminator: Discriminator, params: Params, x: Array, t: Array) -> Array:
    """Logits D(x, t) of a discriminator of pairs, whose second image has no channels here."""
    return discriminator.apply({"params": params["disc"]}, x, t, x[..., :0])


def init_single_image(discriminator: Discriminator, key: Array, x: Array) -> Mapping[str, PyTree]:
    """Parameters for `single_image_logits`, from a typed key and an example [B, ...]."""
    params: Mapping[str, PyTree] = discriminator.init(
        key, x, jnp.zeros(x.shape[0], jnp.int32), x[..., :0]
    )["params"]
    return params


def one_hot(labels: Array, classes: int) -> Array:
    """int32 [B] -> float32 [B, classes] with mean square 1."""
    scaled: Array = jax.nn.one_hot(labels, classes) * classes**0.5
    return scaled


def append_class(z: Array, labels: Array, classes: int) -> Array:
    """The latent z [B, E] with the one-hot class appended, [B, E + classes]; z if classes is 0."""
    return jnp.concatenate([z, one_hot(labels, classes)], axis=-1) if classes else z


def select_class(logits: Array, labels: Array) -> Array:
    """The logit of each sample's class: [B, classes] -> [B]; logits [B] are returned unchanged."""
    if logits.ndim == 1:
        return logits
    return jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]


def draw_labels(keys: Array, step: int, classes: int, given: Array | None = None) -> Array:
    """The given labels, or classes drawn uniformly: int32 [B]; zeros if classes is 0.

    Row i is a function of (keys[i], step). `step` is none that `per_sample_normal` is called with.
    """
    if given is not None:
        return given

    def draw(key: Array) -> Array:
        return jax.random.randint(jax.random.fold_in(key, step), (), 0, max(classes, 1))

    return jax.vmap(draw)(keys)
