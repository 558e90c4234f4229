"""Diffusion-ProjectedGAN: a GAN that discriminates diffused features of a frozen network.

Projected GAN (Sauer et al. 2021, arXiv 2111.01007) with the adaptive noise of Diffusion-GAN (Wang
et al. 2022, arXiv 2206.02262). An image x, augmented and enlarged, is seen by discriminators D_i as

  m = mixing(diffuse(F_1(x)), .., diffuse(F_4(x))),   logits D_i(m_i), one for each patch

where F_i are the feature maps of EfficientNet-Lite0 and `mixing` are fixed random convolutions;
each channel of each sample has a time t of its own. Random weights are the same for all seeds.
Losses are hinge losses over all logits:

  L_D = E relu(1 - D(x)) + E relu(1 + D(G(z))),   L_G = -E D(G(z))

The generator moves first. Its batch norms have running statistics, which `Carry.shared` holds.
Samples use the averaged weights with the running statistics of the latest weights, as published.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from ddgan_jax.config import Field, adam, check
from ddgan_jax.config.fields import choice, integer
from ddgan_jax.core.losses import hinge_disc_loss, hinge_gen_loss
from ddgan_jax.core.random import per_sample_normal
from ddgan_jax.core.types import (
    Array,
    Aux,
    Carry,
    Context,
    Method,
    Params,
    Phase,
    PyTree,
    Shape,
    Space,
)
from ddgan_jax.diffusion import instance_noise
from ddgan_jax.diffusion.instance_noise import InstanceNoise
from ddgan_jax.methods import augmentation
from ddgan_jax.methods.augmentation import FAKE, REAL, Augment
from ddgan_jax.methods.diffusion_gan import NOISE_FIELDS, noise_from_config
from ddgan_jax.methods.entry import LATENT_SIZE, Length, MethodEntry, preset
from ddgan_jax.networks import FEATURE_DISCRIMINATORS, FEATURE_GENERATORS, build_network
from ddgan_jax.networks.efficientnet import LEVELS, SHORT_LEVELS, EfficientNetLite0
from ddgan_jax.networks.layers import BATCH_STATS
from ddgan_jax.networks.multi_scale import Mixing
from ddgan_jax.spaces import build_space

MOMENTUM = 0.1  # how far one batch moves the running statistics of the batch norms, as published
NETWORK = "efficientnet"  # name of the published feature network in `Context.frozen`


class ProjectedGAN(NamedTuple):
    """The parts of a projected GAN, static.

    Attributes:
      generator: (z, noise) -> image; `networks.fastgan.FastGAN`.
      features: image -> four feature maps; `EfficientNetLite0`.
      mixing: random projections of the feature maps; `networks.multi_scale.Mixing`.
      discriminator: mixed feature maps -> logits [B, N]; `MultiScaleDiscriminator`.
      space: pixels; images are (H, W, 1 or 3).
      latent_size: numbers in z.
      size: height and width that smaller images are enlarged to before `features`.
      published: whether `features` has the weights in `Context.frozen`; if not, random ones.
      noise: settings of the noise.
      augment: changes images before they are enlarged.
    """

    generator: Any
    features: Any
    mixing: Any
    discriminator: Any
    space: Space
    latent_size: int
    size: int
    published: bool
    noise: InstanceNoise = InstanceNoise()
    augment: Augment = augmentation.unchanged


def seen_size(parts: ProjectedGAN) -> int:
    """Height and width of the images that the feature network sees."""
    return max(parts.size, parts.space.shape[0])


def enlarged_color(parts: ProjectedGAN, images: Array) -> Array:
    """Images [B, H, W, 1 or 3] as the feature network sees them, bilinear, gray as color."""
    size, channels = seen_size(parts), images.shape[-1]
    images = jax.image.resize(images, (len(images), size, size, channels), "linear")
    return jnp.broadcast_to(images, (*images.shape[:3], 3))


def fake_images(
    parts: ProjectedGAN, params: PyTree, key: Array, count: int
) -> tuple[Array, PyTree]:
    """Generated images [count, H, W, C], and statistics of the batch norms, [1, features] each."""
    key_z, key_noise = jax.random.split(key)
    z = jax.random.normal(key_z, (count, parts.latent_size))
    noise = [
        jax.random.normal(jax.random.fold_in(key_noise, i), (count, size, size))
        for i, size in enumerate(parts.generator.noise_sizes)
    ]
    found: Any
    images, found = parts.generator.apply({"params": params}, z, noise, True, mutable=BATCH_STATS)
    stats = jax.lax.stop_gradient(found[BATCH_STATS])
    return images, jax.tree.map(lambda x: x[None], stats)


def logits(parts: ProjectedGAN, params: Params, context: Context, use: int, images: Array) -> Array:
    """Logits [B, N] of the diffused, projected features of augmented images (`REAL`, `FAKE`)."""
    shared = context.carry.shared
    (images,) = parts.augment(context, use, images)
    weights = context.frozen[NETWORK] if parts.published else shared["features"]
    levels = parts.features.apply({"params": weights}, enlarged_color(parts, images))
    key = jax.random.fold_in(context.key, use)
    levels = [
        instance_noise.diffuse_channels(
            parts.noise, shared["noise"], jax.random.fold_in(key, i), level.astype(jnp.float32)
        )
        for i, level in enumerate(levels)
    ]
    mixed = parts.mixing.apply({"params": shared["mixing"]}, levels)
    variables = {"params": params["disc"]}
    scores: Array = parts.discriminator.apply(variables, mixed, mutable=BATCH_STATS)[0]
    return scores


def gen_loss(parts: ProjectedGAN, params: Params, context: Context) -> tuple[Array, Aux]:
    """The generator's hinge loss."""
    count = len(context.batch["label"])
    fake, stats = fake_images(parts, params["gen"], jax.random.fold_in(context.key, 0), count)
    d_fake = logits(parts, params, context, FAKE, fake)
    return hinge_gen_loss(None, d_fake), Aux(outputs={BATCH_STATS: stats})


def disc_loss(parts: ProjectedGAN, params: Params, context: Context) -> tuple[Array, Aux]:
    """The hinge loss of the discriminators."""
    real = parts.space.training_batch(context)
    key = jax.random.fold_in(context.key, 0)
    fake, stats = fake_images(parts, params["gen"], key, len(real))
    d_fake = logits(parts, params, context, FAKE, jax.lax.stop_gradient(fake))
    d_real = logits(parts, params, context, REAL, real)
    noise = context.carry.shared["noise"]
    metrics = {
        "real": jnp.mean(d_real),
        "fake": jnp.mean(d_fake),
        "p": noise.p,
        "chain_length": noise.length.astype(jnp.float32),
    }
    outputs = {BATCH_STATS: stats, "real": jax.lax.stop_gradient(d_real)}
    return hinge_disc_loss(d_real, d_fake), Aux(metrics, outputs)


def _params(network: nn.Module, key: Array, *inputs: Any) -> PyTree:
    return network.init(key, *inputs)["params"]


def _levels(parts: ProjectedGAN) -> tuple[Array, ...]:
    """Feature maps of zeros, of the shapes that they have for a batch of 2."""
    size = seen_size(parts)
    apply = parts.features.init_with_output
    images = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
    shapes, _ = jax.eval_shape(apply, jax.random.key(0), images)
    return tuple(jnp.zeros(level.shape) for level in shapes)


def make_projected_gan(parts: ProjectedGAN) -> Method:
    """Diffusion-ProjectedGAN.

    Args:
      parts: see `ProjectedGAN`.

    Returns:
      The method. `Carry.shared` has the state of the noise, the random projections, the running
      statistics of the generator's batch norms and, without published weights, random features. It
      also logs "disc/p" and "disc/chain_length".
    """
    generator = parts.generator

    def generator_init(key: Array) -> Mapping[str, PyTree]:
        noise = [jnp.zeros((2, size, size)) for size in generator.noise_sizes]
        made: Mapping[str, PyTree] = generator.init(
            key, jnp.zeros((2, parts.latent_size)), noise, True
        )
        return made

    def init(key: Array) -> dict[str, PyTree]:
        key_gen, key_disc = jax.random.split(key)
        mixed = jax.eval_shape(parts.mixing.init_with_output, key, _levels(parts))[0]
        zeros = tuple(jnp.zeros(level.shape) for level in mixed)
        return {
            "gen": generator_init(key_gen)["params"],
            "disc": _params(parts.discriminator, key_disc, zeros),
        }

    def carry_init(key: Array) -> Carry:
        # The same for all seeds, so that discriminators of another run (--init_from) know them.
        key_mixing, key_features = jax.random.split(jax.random.key(0))
        shared = {
            "noise": instance_noise.init(parts.noise, key),
            "mixing": _params(parts.mixing, key_mixing, _levels(parts)),
            BATCH_STATS: generator_init(key)[BATCH_STATS],
        }
        if not parts.published:
            size = seen_size(parts)
            images = jnp.zeros((2, size, size, 3))
            shared["features"] = random_features(parts.features, key_features, images)
        return Carry((), shared)

    def carry_update(carry: Carry, outputs: Mapping[str, PyTree], context: Context) -> Carry:
        shared = dict(carry.shared)
        for found in outputs.values():
            shared[BATCH_STATS] = jax.tree.map(
                lambda average, x: (1 - MOMENTUM) * average + MOMENTUM * jnp.mean(x, axis=0),
                shared[BATCH_STATS],
                found[BATCH_STATS],
            )
        if "disc" in outputs:
            real = outputs["disc"]["real"]
            noise = instance_noise.update(parts.noise, shared["noise"], context.key, real)
            shared["noise"] = noise
        return Carry((), shared)

    def generate(params: Params, z: Array, noise: list[Array]) -> Array:
        variables = {"params": params["gen"], BATCH_STATS: params[BATCH_STATS]}
        images: Array = generator.apply(variables, z, noise, False)
        return images

    def sample(params: Params, keys: Array, frozen: PyTree, labels: Array | None = None) -> Array:
        del labels
        z = per_sample_normal(keys, 0, 0, (parts.latent_size,))
        sizes = enumerate(generator.noise_sizes)
        noise = [per_sample_normal(keys, 1, i, (size, size)) for i, size in sizes]
        return parts.space.decode(generate(params, z, noise), frozen)

    def evaluation(params: Params, count: int) -> Array:
        noise = [jnp.zeros((count, size, size)) for size in generator.noise_sizes]
        return generate(params, jnp.zeros((count, parts.latent_size)), noise)

    return Method(
        init=init,
        phases=(Phase("gen", partial(gen_loss, parts)), Phase("disc", partial(disc_loss, parts))),
        sample=sample,
        ema_roles=("gen",),
        nfe=1,
        carry_init=carry_init,
        carry_update=carry_update,
        learned=lambda carry: {BATCH_STATS: carry.shared[BATCH_STATS]},
        evaluation=evaluation,
        frozen=(NETWORK,) if parts.published else (),
    )


def random_features(network: nn.Module, key: Array, images: Array) -> PyTree:
    """Random weights of a feature network: N(0, 2 / fan in), and biases of 0."""
    shapes = jax.eval_shape(network.init, key, images)["params"]
    leaves, structure = jax.tree.flatten(shapes)

    def draw(i: int, leaf: jax.ShapeDtypeStruct) -> Array:
        if len(leaf.shape) == 1:
            return jnp.zeros(leaf.shape)
        fan_in = leaf.shape[0] * leaf.shape[1] * leaf.shape[2]
        deviation = (2 / fan_in) ** 0.5
        drawn: Array = deviation * jax.random.normal(jax.random.fold_in(key, i), leaf.shape)
        return drawn

    weights: PyTree = jax.tree.unflatten(structure, [draw(*pair) for pair in enumerate(leaves)])
    return weights


FIELDS: dict[str, Field] = {
    **augmentation.FIELDS,
    **NOISE_FIELDS,
    "latent_size": LATENT_SIZE,
    "features.network": choice(
        "efficientnet_lite0",
        "efficientnet_lite0",
        "random",
        help="published weights (DDGAN_EFFICIENTNET names the file), or a small random network",
    ),
    "features.size": integer(
        224, 128, 1024, help="pixels that smaller images are enlarged to; a multiple of 32"
    ),
}


def from_config(config: ConfigDict, shape: Shape, length: Length) -> Method:
    """The Diffusion-ProjectedGAN that a complete config describes, for data of `shape`.

    Raises:
      UserError: images, features or the noise do not fit, or there are classes or a space.
    """
    del length
    noise = noise_from_config(config)
    check(config, "classes", config.classes == 0, "0 with config.method = 'projected_gan'")
    allowed = "'pixels' with config.method = 'projected_gan'"
    check(config, "space.kind", config.space.kind == "pixels", allowed)
    size = config.features.size
    check(config, "features.size", size % 32 == 0, "a multiple of 32")
    generator = build_network(config, "gen", FEATURE_GENERATORS, shape)
    discriminator = build_network(config, "disc", FEATURE_DISCRIMINATORS, shape)
    check(config, "data.channels", shape[-1] in (1, 3), "1 or 3, or 0 for images of that kind")
    dtype, space = jnp.dtype(config.dtype), build_space(config, shape)
    published = config.features.network == "efficientnet_lite0"
    return make_projected_gan(
        ProjectedGAN(
            generator=generator,
            features=EfficientNetLite0(LEVELS if published else SHORT_LEVELS, dtype=dtype),
            mixing=Mixing(discriminator.width, dtype),
            discriminator=discriminator,
            space=space,
            latent_size=config.latent_size,
            size=size,
            published=published,
            noise=noise,
            augment=augmentation.from_config(config, space),
        )
    )


METHOD = MethodEntry(from_config, FIELDS)


def projected_gan(
    *,
    latent_size: int,
    gen: Mapping[str, Any],
    disc: Mapping[str, Any],
    learning_rate: float,
) -> ConfigDict:
    """A config of Diffusion-ProjectedGAN with the published noise, augmentation and average.

    Adam has betas (0, 0.99) and a constant learning rate. That of the discriminator is rescaled for
    a regularizer at every 16th step, as in the released code, although there is none.
    """
    optimizer = adam(learning_rate, final_learning_rate=learning_rate, beta1=0.0, beta2=0.99)
    config = preset(
        "projected_gan",
        FIELDS,
        gen=gen,
        disc=disc,
        latent_size=latent_size,
        optim=dict(gen=dict(optimizer), disc=dict(optimizer, lazy_interval=16)),
    )
    config.instance_noise.update(
        t_min=5, t_max=500, beta_max=0.01, noise_std=0.5, target=0.45, noisy="growing"
    )
    config.augment.update(color=1.0, translation=0.125, cutout=0.5)
    config.ema_half_life, config.ema_rampup = 20_000.0, 0.05
    return config
