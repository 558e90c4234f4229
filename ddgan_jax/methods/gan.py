"""GAN: noise to image in one step (Goodfellow et al. 2014), with R1.

The noise is a low-dimensional latent z, or high-dimensional: an image of noise of the data's shape.
Both use one generator (x, t, z) at t = 0, so that they differ in the noise only:

  low-dimensional:   x is one fixed image of noise, the same for every sample; z ~ N(0, I)
  high-dimensional:  x ~ N(0, I); z is constant

The discriminator may take k steps for each step of the generator (`adversarial.disc_steps`,
algorithm 1 of the paper). A batch then has k m images: each of the k steps sees m others, and the
generator's step makes m images.

A `view` may stand between images and the discriminator: the identity here, diffusion noise in
Diffusion-GAN.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.config import Field
from ddgan_jax.config.fields import check, choice, integer
from ddgan_jax.core import losses
from ddgan_jax.core.losses import ADVERSARIAL_LOSSES, AdversarialLoss
from ddgan_jax.core.random import per_sample_normal
from ddgan_jax.core.types import (
    Array,
    Aux,
    Carry,
    Context,
    Discriminator,
    Generator,
    LossFn,
    Method,
    Params,
    Phase,
    PyTree,
    Shape,
    Space,
)
from ddgan_jax.methods.conditioning import (
    append_class,
    constant_latent,
    draw_labels,
    init_single_image,
    select_class,
    single_image_logits,
)
from ddgan_jax.methods.entry import (
    ADVERSARIAL_FIELDS,
    Length,
    MethodEntry,
    Penalties,
    adversarial_preset,
)
from ddgan_jax.networks import DISCRIMINATORS, GENERATORS, build_network
from ddgan_jax.spaces import build_space

View = Callable[[Carry, Array, Array], tuple[Array, Array]]
REAL, FAKE = 1, 2  # keys of the view's noise for real and for fake images


def identity_view(carry: Carry, key: Array, x: Array) -> tuple[Array, Array]:
    """The view of a plain GAN: the images themselves, and t = 0."""
    del carry, key
    return x, jnp.zeros(x.shape[0], jnp.int32)


class GAN(NamedTuple):
    """The parts of a GAN, static.

    Attributes:
      generator: (x, t, z) -> image, with the class appended to z.
      discriminator: (image, t, image without channels) -> logits [B] or [B, classes].
      space: the space that images are in.
      latent_size: numbers in z; None: high-dimensional noise.
      classes: labels are 0..classes-1; 0: unconditional.
      loss: the adversarial loss.
      view: (carry, key, images [B, ...]) -> (what the discriminator sees, t int32 [B]).
    """

    generator: Generator
    discriminator: Discriminator
    space: Space
    latent_size: int | None
    classes: int = 0
    loss: AdversarialLoss = ADVERSARIAL_LOSSES["nonsaturating"]
    view: View = identity_view


def noise_shape(parts: GAN) -> Shape:
    """The shape of one sample's noise."""
    return parts.space.shape if parts.latent_size is None else (parts.latent_size,)


def generator_inputs(parts: GAN, noise: Array, labels: Array) -> tuple[Array, Array, Array]:
    """(x, t, z) of the generator from noise [B, ...] and labels int32 [B]."""
    count = noise.shape[0]
    t = jnp.zeros(count, jnp.int32)
    if parts.latent_size is None:
        return noise, t, append_class(constant_latent(count), labels, parts.classes)
    canvas = np.random.default_rng(0).standard_normal(parts.space.shape, np.float32)
    x = jnp.broadcast_to(canvas, (count, *parts.space.shape))
    return x, t, append_class(noise, labels, parts.classes)


def init(parts: GAN, key: Array) -> dict[str, PyTree]:
    """Parameters of "gen" and "disc"."""
    key_gen, key_disc = jax.random.split(key)
    # Parameters do not depend on the batch size; 4 is a group of the minibatch deviation.
    noise, x = jnp.zeros((4, *noise_shape(parts))), jnp.zeros((4, *parts.space.shape))
    inputs = generator_inputs(parts, noise, jnp.zeros(4, jnp.int32))
    return {
        "gen": parts.generator.init(key_gen, *inputs)["params"],
        "disc": init_single_image(parts.discriminator, key_disc, x),
    }


def real_images(parts: GAN, context: Context) -> Array:
    """The batch in the space, float32 [B, *space]."""
    return parts.space.training_batch(context)


def fake_images(parts: GAN, params: Params, context: Context) -> Array:
    """Generated images of this phase; the same for every call with the same context."""
    key_noise, key_dropout = jax.random.split(jax.random.fold_in(context.key, 0))
    count = context.batch["image"].shape[0]
    noise = jax.random.normal(key_noise, (count, *noise_shape(parts)))
    x, t, z = generator_inputs(parts, noise, context.batch["label"])
    variables = {"params": params["gen"]}
    return parts.generator.apply(variables, x, t, z, True, rngs={"dropout": key_dropout})


def logits(parts: GAN, params: Params, context: Context, use: int, x: Array) -> Array:
    """D of the view of x, for the class of each sample, [B]; `use` is `REAL` or `FAKE`."""
    seen, t = parts.view(context.carry, jax.random.fold_in(context.key, use), x)
    out = single_image_logits(parts.discriminator, params, seen, t)
    return select_class(out, context.batch["label"])


def disc_loss(parts: GAN, params: Params, context: Context) -> tuple[Array, Aux]:
    """The discriminator's adversarial loss."""
    fake = jax.lax.stop_gradient(fake_images(parts, params, context))
    d_real = logits(parts, params, context, REAL, real_images(parts, context))
    d_fake = logits(parts, params, context, FAKE, fake)
    metrics = {"real": jnp.mean(d_real), "fake": jnp.mean(d_fake)}
    return parts.loss.disc(d_real, d_fake), Aux(metrics, {"real": d_real})


def gradient_penalties(
    parts: GAN, penalties: Penalties, params: Params, context: Context
) -> tuple[Array, Aux]:
    """R1 and R2: gamma/2 E||d D(view(x)) / d x||^2 at real and at generated images x."""

    def r1() -> Array:
        discriminate = partial(logits, parts, params, context, REAL)
        return losses.gradient_penalty(discriminate, real_images(parts, context))

    def r2() -> Array:
        fake = jax.lax.stop_gradient(fake_images(parts, params, context))
        return losses.gradient_penalty(partial(logits, parts, params, context, FAKE), fake)

    total, found = losses.weighted_penalties(
        {"r1": (penalties.r1_gamma, r1), "r2": (penalties.r2_gamma, r2)}
    )
    return total, Aux(found)


def gen_loss(parts: GAN, params: Params, context: Context) -> tuple[Array, Aux]:
    """The generator's adversarial loss."""
    d_fake = logits(parts, params, context, FAKE, fake_images(parts, params, context))
    d_real = None
    if parts.loss.gen_sees_real:
        d_real = logits(parts, params, context, REAL, real_images(parts, context))
    return parts.loss.gen(d_real, d_fake), Aux()


def on_part(loss: LossFn, part: int, parts: int) -> LossFn:
    """The same loss of one part of the batch: every `parts`-th example, starting at `part`."""
    if parts == 1:
        return loss

    def of_part(params: Params, context: Context) -> tuple[Array, Aux]:
        whole = (context.batch, context.carry.samples)
        batch, samples = jax.tree.map(
            lambda x: x.reshape((-1, parts, *x.shape[1:]))[:, part], whole
        )
        carry = context.carry._replace(samples=samples)
        return loss(params, context._replace(batch=batch, carry=carry))

    return of_part


def make_gan(parts: GAN, penalties: Penalties, disc_steps: int = 1) -> Method:
    """A GAN over any space.

    Args:
      parts: see `GAN`.
      penalties: R1 at real images, R2 at generated images, through the view.
      disc_steps: k, steps of the discriminator for each of the generator; divides the batch.
    """
    disc = penalties.phase(partial(disc_loss, parts), partial(gradient_penalties, parts, penalties))

    def disc_step(i: int) -> Phase:
        regularizer = disc.regularizer and on_part(disc.regularizer, i, disc_steps)
        return disc._replace(loss=on_part(disc.loss, i, disc_steps), regularizer=regularizer)

    def generate(params: Params, noise: Array, labels: Array) -> Array:
        inputs = generator_inputs(parts, noise, labels)
        return parts.generator.apply({"params": params["gen"]}, *inputs)

    def sample(params: Params, keys: Array, frozen: PyTree, labels: Array | None = None) -> Array:
        noise = per_sample_normal(keys, 0, 0, noise_shape(parts))
        labels = draw_labels(keys, 1, parts.classes, labels)
        return parts.space.decode(generate(params, noise, labels), frozen)

    def evaluation(params: Params, count: int) -> Array:
        noise, labels = jnp.zeros((count, *noise_shape(parts))), jnp.zeros(count, jnp.int32)
        return generate(params, noise, labels)

    return Method(
        init=partial(init, parts),
        phases=(
            *(disc_step(i) for i in range(disc_steps)),
            Phase("gen", on_part(partial(gen_loss, parts), 0, disc_steps)),
        ),
        sample=sample,
        ema_roles=("gen",),
        nfe=1,
        evaluation=evaluation,
    )


FIELDS: dict[str, Field] = {
    **ADVERSARIAL_FIELDS,
    "noise": choice(
        "latent", "latent", "image", help="latent_size numbers, or noise of the data's shape"
    ),
    "latent_size": integer(0, 0, 10**6, help="numbers in z; 0 with noise 'image'"),
    "adversarial.disc_steps": integer(
        1, 1, 100, help="steps of the discriminator for each of the generator; parts of a batch"
    ),
}


def parts_from_config(config: ConfigDict, shape: Shape, view: View = identity_view) -> GAN:
    """The parts that a complete config describes, for data of `shape`."""
    count = config.train.batch_size // config.train.accumulate
    allowed = f"a divisor of config.train.batch_size / accumulate = {count}"
    check(config, "adversarial.disc_steps", count % config.adversarial.disc_steps == 0, allowed)
    enough = config.noise == "image" or config.latent_size > 0
    check(config, "latent_size", enough, "a positive integer (config.noise is 'latent')")
    space = build_space(config, shape)
    return GAN(
        generator=build_network(config, "gen", GENERATORS, space.shape),
        discriminator=build_network(
            config, "disc", DISCRIMINATORS, space.shape, classes=config.classes
        ),
        space=space,
        latent_size=config.latent_size if config.noise == "latent" else None,
        classes=config.classes,
        loss=ADVERSARIAL_LOSSES[config.adversarial.loss],
        view=view,
    )


def from_config(config: ConfigDict, shape: Shape, length: Length) -> Method:
    """The GAN that a complete config describes, for data of `shape`."""
    del length
    return make_gan(
        parts_from_config(config, shape),
        Penalties.from_config(config),
        config.adversarial.disc_steps,
    )


METHOD = MethodEntry(from_config, FIELDS)


def gan(
    *,
    noise: str,
    latent_size: int = 0,
    gen: Mapping[str, Any],
    disc: Mapping[str, Any],
    lr_gen: float,
    lr_disc: float,
    r1_gamma: float,
    r1_every: int,
) -> ConfigDict:
    """A GAN config.

    `noise` is "latent", of `latent_size` numbers, or "image", of the data's shape. `gen` and `disc`
    are {"network": name, attribute: value, ...}.
    """
    return adversarial_preset(
        "gan",
        FIELDS,
        gen=gen,
        disc=disc,
        lr_gen=lr_gen,
        lr_disc=lr_disc,
        r1_gamma=r1_gamma,
        r1_every=r1_every,
        noise=noise,
        latent_size=latent_size,
    )
