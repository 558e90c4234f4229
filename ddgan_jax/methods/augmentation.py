"""Augmentation for methods with a discriminator: its fields, keys and spaces."""

from collections.abc import Callable

import jax
from ml_collections import ConfigDict

from ddgan_jax.config import Field, check
from ddgan_jax.config.fields import number
from ddgan_jax.core.types import AUGMENTATION, Array, Context, Space
from ddgan_jax.diffusion.augmentation import Augmentation, augment

# (context, REAL or FAKE, examples [B, *space] ...) -> what a discriminator is shown of them. All of
# one call, such as a pair, are changed by the same draws; real and fake ones independently.
Augment = Callable[..., tuple[Array, ...]]

REAL, FAKE = 1, 2  # keys of what a discriminator is shown of real and of fake images

FIELDS: dict[str, Field] = {
    "augment.color": number(
        0.0,
        0,
        1,
        help="random brightness, saturation, contrast of D's images; 0: none, 1: published",
    ),
    "augment.translation": number(
        0.0, 0, 1, help="largest random shift of D's images, of their size; published: 0.125"
    ),
    "augment.cutout": number(
        0.0, 0, 1, help="side of a random square that is hidden from D; published: 0.5"
    ),
}


def unchanged(context: Context, use: int, *images: Array) -> tuple[Array, ...]:
    """The images themselves."""
    del context, use
    return images


def from_config(config: ConfigDict, space: Space) -> Augment:
    """The augmentation that a complete config describes; `unchanged` if all of it is 0.

    Raises:
      UserError: augmentation of points, or of latents.
    """
    how = Augmentation(**{name: config.augment[name] for name in Augmentation._fields})
    if not any(how):
        return unchanged
    if space.as_images is None:
        field = next(name for name, strength in how._asdict().items() if strength)
        kind = config.space.kind
        allowed = "0 for points" if kind == "pixels" else f"0 with config.space.kind = {kind!r}"
        check(config, f"augment.{field}", False, allowed)
    assert space.as_images is not None
    to_images, from_images = space.as_images

    def augmented(context: Context, use: int, *examples: Array) -> tuple[Array, ...]:
        key = jax.random.fold_in(jax.random.fold_in(context.key, AUGMENTATION), use)
        return tuple(map(from_images, augment(how, key, *map(to_images, examples))))

    return augmented
