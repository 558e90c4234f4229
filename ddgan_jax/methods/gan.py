"""GAN: noise to image in one step (Goodfellow et al. 2014), with R1.

The noise is a low-dimensional latent z, or high-dimensional: an image of noise of the data's shape.
Both use one generator (x, t, z) at t = 0, so that they differ in the noise only:

  low-dimensional:   x is one fixed image of noise, the same for every sample; z ~ N(0, I)
  high-dimensional:  x ~ N(0, I); z is constant

The discriminator may take k steps for each step of the generator (`adversarial.disc_steps`,
algorithm 1 of the paper). A batch then has k m images: each of the k steps sees a different m of
them, and the generator's step makes m images.

A generator of styles (`networks.STYLE_GENERATORS`) has a z only, and is trained by the functions of
`methods/styles.py`: the method is StyleGAN2 then.

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

from ddgan_jax.config import Field, lookup
from ddgan_jax.config.fields import check, choice, integer
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
from ddgan_jax.methods import augmentation, styles
from ddgan_jax.methods.augmentation import FAKE, REAL, Augment
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
    LAZY_FIELDS,
    ONE_TURN_EACH,
    Length,
    MethodEntry,
    Penalties,
    Turns,
    adversarial_preset,
)
from ddgan_jax.methods.styles import StyleParts
from ddgan_jax.networks import (
    DISCRIMINATORS,
    GENERATORS,
    STYLE_GENERATORS,
    Network,
    build_network,
)
from ddgan_jax.spaces import build_space

View = Callable[[Carry, Array, Array], tuple[Array, Array]]


def identity_view(carry: Carry, key: Array, x: Array) -> tuple[Array, Array]:
    """The view of a plain GAN: the images themselves, and t = 0."""
    del carry, key
    return x, jnp.zeros(x.shape[0], jnp.int32)


class GAN(NamedTuple):
    """The parts of a GAN, static.

    Attributes:
      generator: (x, t, z) -> image, with the class appended to z; unused with `styles`.
      discriminator: (image, t, image without channels) -> logits [B] or [B, classes].
      space: the space that images are in.
      latent_size: numbers in z; None: high-dimensional noise.
      classes: labels are 0..classes-1; 0: unconditional.
      loss: the adversarial loss.
      augment: changes images before the view.
      view: (carry, key, images [B, ...]) -> (what the discriminator sees, t int32 [B]).
      styles: a generator of styles; `Carry.shared` is {"styles": `StyleState`, ...} then.
    """

    generator: Generator | None
    discriminator: Discriminator
    space: Space
    latent_size: int | None
    classes: int = 0
    loss: AdversarialLoss = ADVERSARIAL_LOSSES["nonsaturating"]
    augment: Augment = augmentation.unchanged
    view: View = identity_view
    styles: StyleParts | None = None


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
    if parts.styles:
        gen = styles.init_params(parts.styles, key_gen)
    else:
        assert parts.generator is not None
        inputs = generator_inputs(parts, noise, jnp.zeros(4, jnp.int32))
        gen = parts.generator.init(key_gen, *inputs)["params"]
    return {"gen": gen, "disc": init_single_image(parts.discriminator, key_disc, x)}


def real_images(parts: GAN, context: Context) -> Array:
    """The batch in the space, float32 [B, *space]."""
    return parts.space.training_batch(context)


def fake_images(parts: GAN, params: Params, context: Context) -> tuple[Array, dict[str, Array]]:
    """Generated images of this phase, and outputs of the phase with them.

    They are the same for every call with the same context.
    """
    key, labels = jax.random.fold_in(context.key, 0), context.batch["label"]
    if parts.styles:
        images, w = styles.training_images(parts.styles, params["gen"], key, labels)
        return images, {"w": w}
    assert parts.generator is not None
    key_noise, key_dropout = jax.random.split(key)
    noise = jax.random.normal(key_noise, (len(labels), *noise_shape(parts)))
    x, t, z = generator_inputs(parts, noise, labels)
    variables = {"params": params["gen"]}
    return parts.generator.apply(variables, x, t, z, True, rngs={"dropout": key_dropout}), {}


def logits(parts: GAN, params: Params, context: Context, use: int, x: Array) -> Array:
    """D of the view of x, augmented, for the class of each sample, [B]; `use`: `REAL` or `FAKE`."""
    (x,) = parts.augment(context, use, x)
    seen, t = parts.view(context.carry, jax.random.fold_in(context.key, use), x)
    out = single_image_logits(parts.discriminator, params, seen, t)
    return select_class(out, context.batch["label"])


def disc_loss(parts: GAN, params: Params, context: Context) -> tuple[Array, Aux]:
    """The discriminator's adversarial loss."""
    fake, outputs = fake_images(parts, params, context)
    d_real = logits(parts, params, context, REAL, real_images(parts, context))
    d_fake = logits(parts, params, context, FAKE, jax.lax.stop_gradient(fake))
    metrics = {"real": jnp.mean(d_real), "fake": jnp.mean(d_fake)}
    return parts.loss.disc(d_real, d_fake), Aux(metrics, {"real": d_real, **outputs})


def gradient_penalties(
    parts: GAN, penalties: Penalties, params: Params, context: Context
) -> tuple[Array, Aux]:
    """R1 and R2 of D(view(x)) with the gradient at real and at generated images x."""
    return penalties.of(
        partial(logits, parts, params, context),
        lambda: real_images(parts, context),
        lambda: fake_images(parts, params, context)[0],
    )


def gen_loss(parts: GAN, params: Params, context: Context) -> tuple[Array, Aux]:
    """The generator's adversarial loss."""
    fake, outputs = fake_images(parts, params, context)
    d_fake = logits(parts, params, context, FAKE, fake)
    d_real = None
    if parts.loss.gen_sees_real:
        d_real = logits(parts, params, context, REAL, real_images(parts, context))
    return parts.loss.gen(d_real, d_fake), Aux(outputs=outputs or None)


def on_part(loss: LossFn, part: int, parts: int) -> LossFn:
    """The same loss of one part of the batch: every `parts`-th example, starting at `part`."""
    if parts == 1:
        return loss

    def of_part(params: Params, context: Context) -> tuple[Array, Aux]:
        return loss(params, context.part(part, parts))

    return of_part


def make_gan(parts: GAN, penalties: Penalties, turns: Turns = ONE_TURN_EACH) -> Method:
    """A GAN over any space.

    Args:
      parts: see `GAN`.
      penalties: R1 at real images, R2 at generated images, through the view.
      turns: see `Turns`.
    """
    disc_steps = turns.disc_steps
    disc = penalties.phase(partial(disc_loss, parts), partial(gradient_penalties, parts, penalties))

    def disc_step(i: int) -> Phase:
        regularizer = disc.regularizer and on_part(disc.regularizer, i, disc_steps)
        return disc._replace(loss=on_part(disc.loss, i, disc_steps), regularizer=regularizer)

    discs = tuple(disc_step(i) for i in range(disc_steps))
    gen = Phase("gen", on_part(partial(gen_loss, parts), 0, disc_steps))
    if parts.styles and parts.styles.path_weight > 0:
        path = on_part(partial(styles.path_regularizer, parts.styles), 0, disc_steps)
        gen = gen._replace(regularizer=path, regularize_every=turns.path_every)
    phases = (gen, *discs) if turns.gen_first else (*discs, gen)
    method = Method(
        init=partial(init, parts),
        phases=tuple(map(turns.lazy.applied_to, phases)),
        sample=None,
        ema_roles=("gen",),
        nfe=1,
    )
    return with_styles(method, parts.styles) if parts.styles else with_noise(method, parts)


def with_styles(method: Method, parts: StyleParts) -> Method:
    """`method` with the state and the sampling of a generator of styles."""
    functions = styles.sampling(parts)

    def carry_update(carry: Carry, outputs: Mapping[str, PyTree], context: Context) -> Carry:
        del context
        return Carry((), {"styles": styles.update(parts, carry.shared["styles"], outputs)})

    def evaluation(params: Params, count: int) -> Array:
        keys = jax.random.split(jax.random.key(0), count)
        return functions.synthesize(params, functions.map(params, keys, None, 1.0, None), None, ())

    return method._replace(
        sample=functions.sample,
        evaluation=evaluation,
        styles=functions,
        carry_init=lambda key: Carry((), {"styles": styles.init_state(parts, key)}),
        carry_update=carry_update,
        learned=lambda carry: styles.learned(carry.shared["styles"]),
    )


def with_noise(method: Method, parts: GAN) -> Method:
    """`method` with the sampling of a generator (x, t, z)."""
    generator = parts.generator
    assert generator is not None

    def generate(params: Params, noise: Array, labels: Array) -> Array:
        inputs = generator_inputs(parts, noise, labels)
        return generator.apply({"params": params["gen"]}, *inputs)

    def sample(params: Params, keys: Array, frozen: PyTree, labels: Array | None = None) -> Array:
        noise = per_sample_normal(keys, 0, 0, noise_shape(parts))
        labels = draw_labels(keys, 1, parts.classes, labels)
        return parts.space.decode(generate(params, noise, labels), frozen)

    def evaluation(params: Params, count: int) -> Array:
        noise, labels = jnp.zeros((count, *noise_shape(parts))), jnp.zeros(count, jnp.int32)
        return generate(params, noise, labels)

    return method._replace(sample=sample, evaluation=evaluation)


FIELDS: dict[str, Field] = {
    **ADVERSARIAL_FIELDS,
    **LAZY_FIELDS,
    **styles.FIELDS,
    "noise": choice(
        "latent", "latent", "image", help="latent_size numbers, or noise of the data's shape"
    ),
    "latent_size": integer(0, 0, 10**6, help="numbers in z; 0 with noise 'image'"),
    "adversarial.disc_steps": integer(
        1, 1, 100, help="steps of the discriminator for each of the generator; parts of a batch"
    ),
    "adversarial.order": choice(
        "disc_first", "disc_first", "gen_first", help="whose turn is first in a step"
    ),
}


def parts_from_config(config: ConfigDict, shape: Shape) -> GAN:
    """The parts that a complete config describes, for data of `shape`."""
    count = config.train.batch_size // config.train.accumulate
    allowed = f"a divisor of config.train.batch_size / accumulate = {count}"
    check(config, "adversarial.disc_steps", count % config.adversarial.disc_steps == 0, allowed)
    enough = config.noise == "image" or config.latent_size > 0
    check(config, "latent_size", enough, "a positive integer (config.noise is 'latent')")
    space = build_space(config, shape)
    generators = {**GENERATORS, **STYLE_GENERATORS}
    generator, of_styles = None, None
    if lookup("gen.network", config.gen.get("network"), generators, Network).styles:
        network = build_network(config, "gen", generators, space.shape, classes=config.classes)
        of_styles = styles.from_config(config, network, space)
    else:
        styles.check_unused(config)
        generator = build_network(config, "gen", generators, space.shape)
    return GAN(
        generator=generator,
        discriminator=build_network(
            config, "disc", DISCRIMINATORS, space.shape, classes=config.classes
        ),
        space=space,
        latent_size=config.latent_size if config.noise == "latent" else None,
        classes=config.classes,
        loss=ADVERSARIAL_LOSSES[config.adversarial.loss],
        augment=augmentation.from_config(config, space),
        styles=of_styles,
    )


def from_config(config: ConfigDict, shape: Shape, length: Length) -> Method:
    """The GAN that a complete config describes, for data of `shape`."""
    del length
    return make_gan(
        parts_from_config(config, shape),
        Penalties.from_config(config),
        Turns.from_config(config),
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
