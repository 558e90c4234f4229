"""DDGAN: a conditional GAN for every denoising step (Xiao et al. 2022, arXiv 2112.07804).

One train step has two phases. Discriminator: draw t and the real pair
(x_t, x_{t+1}); the fake pair is (x_t', x_{t+1}) with x_0' = G(x_{t+1}, t, z) and
x_t' ~ q(x_t | x_{t+1}, x_0'). Generator: the same with a t, noise and z of its own.

WDDGAN (Phung et al. 2023) and LDDGAN (Trinh and Hamagami 2024) are this method in Haar bands and in
the latents of an autoencoder, with lambda L1(x_0, x_0') added to the generator's loss.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from ddgan_jax.config import Field
from ddgan_jax.config.fields import choice, integer, number
from ddgan_jax.core import losses
from ddgan_jax.core.losses import ADVERSARIAL_LOSSES, AdversarialLoss
from ddgan_jax.core.random import per_sample_normal
from ddgan_jax.core.types import (
    Array,
    Aux,
    Context,
    Discriminator,
    Generator,
    Method,
    Params,
    Phase,
    PyTree,
    Shape,
    Space,
)
from ddgan_jax.diffusion import processes, schedules
from ddgan_jax.methods import augmentation
from ddgan_jax.methods.augmentation import FAKE, REAL, Augment
from ddgan_jax.methods.conditioning import append_class, draw_labels, select_class
from ddgan_jax.methods.entry import (
    ADVERSARIAL_FIELDS,
    LATENT_SIZE,
    Length,
    MethodEntry,
    Penalties,
    adversarial_preset,
)
from ddgan_jax.networks import DISCRIMINATORS, GENERATORS, build_network
from ddgan_jax.spaces import build_space


class DDGAN(NamedTuple):
    """The parts of a DDGAN, static.

    Attributes:
      generator: (x_{t+1}, t, z) -> x_0', with the class appended to z.
      discriminator: (x_t, t, x_{t+1}) -> logits [B] or [B, classes].
      process: forward process and posterior.
      space: the space that x_0 is in.
      latent_size: nz, numbers in z.
      classes: labels are 0..classes-1; 0: unconditional.
      loss: the adversarial loss.
      augment: changes the pairs that the discriminator is shown.
    """

    generator: Generator
    discriminator: Discriminator
    process: processes.Process
    space: Space
    latent_size: int
    classes: int = 0
    loss: AdversarialLoss = ADVERSARIAL_LOSSES["nonsaturating"]
    augment: Augment = augmentation.unchanged


def init(parts: DDGAN, key: Array) -> dict[str, PyTree]:
    """Parameters of "gen" and "disc"."""
    key_gen, key_disc = jax.random.split(key)
    # Parameters do not depend on the batch size; 4 is a group of the minibatch deviation.
    x, t = jnp.zeros((4, *parts.space.shape)), jnp.zeros(4, jnp.int32)
    z = append_class(jnp.zeros((4, parts.latent_size)), t, parts.classes)
    return {
        "gen": parts.generator.init(key_gen, x, t, z)["params"],
        "disc": parts.discriminator.init(key_disc, x, t, x)["params"],
    }


def real_x_0(parts: DDGAN, context: Context) -> Array:
    """The batch in the space, float32 [B, *space]."""
    return parts.space.training_batch(context)


def real_pair(parts: DDGAN, context: Context) -> tuple[Array, Array, Array]:
    """(x_t, x_{t+1}, t) of this phase; the same for every call with the same context."""
    x_0 = real_x_0(parts, context)
    key_t, key_pair = jax.random.split(jax.random.fold_in(context.key, 0))
    t = jax.random.randint(key_t, (x_0.shape[0],), 0, parts.process.num_steps)
    return *parts.process.forward_pair(key_pair, x_0, t), t


def fake_pair(
    parts: DDGAN, params: Params, context: Context, x_next: Array, t: Array
) -> tuple[Array, Array]:
    """(x_t', x_0') of this phase, with x_0' = G(x_{t+1}, t, z) and x_t' from the posterior."""
    key_z, key_dropout, key_post = jax.random.split(jax.random.fold_in(context.key, 1), 3)
    z = jax.random.normal(key_z, (t.shape[0], parts.latent_size))
    z = append_class(z, context.batch["label"], parts.classes)
    x_0 = parts.generator.apply(
        {"params": params["gen"]}, x_next, t, z, True, rngs={"dropout": key_dropout}
    )
    noise = jax.random.normal(key_post, x_0.shape)
    return parts.process.posterior_sample(noise, x_0, x_next, t), x_0


def logits(
    parts: DDGAN, params: Params, context: Context, use: int, x_t: Array, t: Array, x_next: Array
) -> Array:
    """D(x_t, t, x_{t+1}) of the augmented pair, for the class of each sample, [B].

    `use` is `REAL` or `FAKE`, so that real and fake pairs are changed independently.
    """
    x_t, x_next = parts.augment(context, use, x_t, x_next)
    out = parts.discriminator.apply({"params": params["disc"]}, x_t, t, x_next)
    return select_class(out, context.batch["label"])


def disc_loss(parts: DDGAN, params: Params, context: Context) -> tuple[Array, Aux]:
    """The discriminator's adversarial loss on the real and the fake pair."""
    x_t, x_next, t = real_pair(parts, context)
    fake = jax.lax.stop_gradient(fake_pair(parts, params, context, x_next, t)[0])
    d_real = logits(parts, params, context, REAL, x_t, t, x_next)
    d_fake = logits(parts, params, context, FAKE, fake, t, x_next)
    metrics = {"real": jnp.mean(d_real), "fake": jnp.mean(d_fake)}
    return parts.loss.disc(d_real, d_fake), Aux(metrics)


def gradient_penalties(
    parts: DDGAN, penalties: Penalties, params: Params, context: Context
) -> tuple[Array, Aux]:
    """R1 and R2 with the gradient at x_t, of the real and of the fake pair."""
    x_t, x_next, t = real_pair(parts, context)

    def discriminate(use: int, x: Array) -> Array:
        return logits(parts, params, context, use, x, t, x_next)

    def fake() -> Array:
        return fake_pair(parts, params, context, x_next, t)[0]

    return penalties.of(discriminate, lambda: x_t, fake)


def gen_loss(
    parts: DDGAN,
    reconstruction: Callable[[Array], Array] | None,
    params: Params,
    context: Context,
) -> tuple[Array, Aux]:
    """The generator's adversarial loss, plus lambda(step) L1(x_0, x_0') with `reconstruction`."""
    x_t, x_next, t = real_pair(parts, context)
    fake, fake_x_0 = fake_pair(parts, params, context, x_next, t)
    d_fake = logits(parts, params, context, FAKE, fake, t, x_next)
    d_real = None
    if parts.loss.gen_sees_real:
        d_real = logits(parts, params, context, REAL, x_t, t, x_next)
    loss = parts.loss.gen(d_real, d_fake)
    if reconstruction is None:
        return loss, Aux()
    l1 = losses.reconstruction_loss(real_x_0(parts, context), fake_x_0)
    weight = reconstruction(context.step)
    return loss + weight * l1, Aux({"l1": l1, "l1_weight": weight})


def denoise(
    parts: DDGAN, params: Params, keys: Array, labels: Array | None, keep: bool
) -> tuple[Array, Array | None]:
    """x_0 [B, *space] from x_T ~ N(0, I), and with `keep` also x_0..x_{T-1} [T, B, *space]."""
    process, shape = parts.process, parts.space.shape
    generate = partial(parts.generator.apply, {"params": params["gen"]})
    x_T = per_sample_normal(keys, process.num_steps, 0, shape)
    labels = draw_labels(keys, process.num_steps + 1, parts.classes, labels)

    def step(x: Array, t: Array) -> tuple[Array, Array | None]:
        times = jnp.full((keys.shape[0],), t)
        z = per_sample_normal(keys, t, 1, (parts.latent_size,))
        z = append_class(z, labels, parts.classes)
        noise = per_sample_normal(keys, t, 2, shape)
        x = process.posterior_sample(noise, generate(x, times, z), x, times)
        return x, x if keep else None

    return jax.lax.scan(step, x_T, jnp.arange(process.num_steps), reverse=True)


def make_ddgan(
    parts: DDGAN,
    penalties: Penalties,
    reconstruction: Callable[[Array], Array] | None = None,
) -> Method:
    """DDGAN over any process and space.

    Args:
      parts: see `DDGAN`.
      penalties: R1 at the real pair, R2 at the fake pair, with respect to x_t.
      reconstruction: step -> lambda, the weight of L1(x_0, x_0') in the generator's loss; None:
        no such term.
    """
    process, space = parts.process, parts.space

    def sample(params: Params, keys: Array, frozen: PyTree, labels: Array | None = None) -> Array:
        return space.decode(denoise(parts, params, keys, labels, keep=False)[0], frozen)

    def trajectory(
        params: Params, keys: Array, frozen: PyTree, labels: Array | None = None
    ) -> Array:
        x_T = per_sample_normal(keys, process.num_steps, 0, space.shape)
        made = denoise(parts, params, keys, labels, keep=True)[1]
        assert made is not None
        return jnp.stack([space.decode(x, frozen) for x in (x_T, *made[::-1])])

    def evaluation(params: Params, count: int) -> Array:
        x, t = jnp.zeros((count, *space.shape)), jnp.zeros(count, jnp.int32)
        z = append_class(jnp.ones((count, parts.latent_size)), t, parts.classes)
        return parts.generator.apply({"params": params["gen"]}, x, t, z)

    return Method(
        init=partial(init, parts),
        phases=(
            penalties.phase(
                partial(disc_loss, parts), partial(gradient_penalties, parts, penalties)
            ),
            Phase("gen", partial(gen_loss, parts, reconstruction)),
        ),
        sample=sample,
        ema_roles=("gen",),
        nfe=process.num_steps,
        trajectory=trajectory,
        evaluation=evaluation,
    )


# Settings: fields of the config, and how a config becomes the method.

FIELDS: dict[str, Field] = {
    "latent_size": LATENT_SIZE,
    **ADVERSARIAL_FIELDS,
    "diffusion.num_steps": integer(4, 1, 10**5, help="T, denoising steps"),
    "diffusion.beta_min": number(0.1, 0, 100, open_low=True, help="VP diffusion: rate at time 0"),
    "diffusion.beta_max": number(20.0, 0, 100, open_low=True, help="VP diffusion: rate at time 1"),
    "reconstruction.kind": choice(
        "none",
        "none",
        "constant",
        "weighted",
        help="lambda L1(x_0, x_0') in the generator's loss: none, constant (WDDGAN), or weighted "
        "(LDDGAN): lambda fades to 0",
    ),
    "reconstruction.weight": number(1.0, help="lambda, or its first value"),
    "reconstruction.delta": number(6.0, 0, 100, help="steepness of weighted, see losses"),
}


def reconstruction_schedule(config: ConfigDict, length: Length) -> Callable[[Array], Array] | None:
    """step -> lambda as `config.reconstruction` describes it; None: no reconstruction."""
    kind, weight, delta = (config.reconstruction[name] for name in ("kind", "weight", "delta"))
    if kind == "none":
        return None
    if kind == "constant":
        return losses.constant_weight(weight)
    return losses.fading_weight(weight, delta, length.total, length.epoch)


def parts_from_config(config: ConfigDict, shape: Shape) -> DDGAN:
    """The parts that a complete config describes, for data of `shape`."""
    betas = schedules.variance_preserving_betas(
        config.diffusion.num_steps, config.diffusion.beta_min, config.diffusion.beta_max
    )
    space = build_space(config, shape)
    return DDGAN(
        generator=build_network(config, "gen", GENERATORS, space.shape),
        discriminator=build_network(
            config, "disc", DISCRIMINATORS, space.shape, classes=config.classes
        ),
        process=processes.gaussian(betas),
        space=space,
        latent_size=config.latent_size,
        classes=config.classes,
        loss=ADVERSARIAL_LOSSES[config.adversarial.loss],
        augment=augmentation.from_config(config, space),
    )


def from_config(config: ConfigDict, shape: Shape, length: Length) -> Method:
    """The DDGAN that a complete config describes, for data of `shape`."""
    return make_ddgan(
        parts_from_config(config, shape),
        Penalties.from_config(config),
        reconstruction_schedule(config, length),
    )


METHOD = MethodEntry(from_config, FIELDS)


def ddgan(
    *,
    num_steps: int,
    latent_size: int,
    gen: Mapping[str, Any],
    disc: Mapping[str, Any],
    lr_gen: float,
    lr_disc: float,
    r1_gamma: float,
    r1_every: int,
) -> ConfigDict:
    """A DDGAN config. `gen` and `disc` are {"network": name, attribute: value, ...}."""
    return adversarial_preset(
        "ddgan",
        FIELDS,
        gen=gen,
        disc=disc,
        lr_gen=lr_gen,
        lr_disc=lr_disc,
        r1_gamma=r1_gamma,
        r1_every=r1_every,
        latent_size=latent_size,
        diffusion=dict(num_steps=num_steps),
    )


def wddgan(**fields: Any) -> ConfigDict:
    """`ddgan(**fields)` in one level of Haar bands, with WDDGAN's reconstruction."""
    config = ddgan(**fields)
    config.space = ConfigDict(dict(kind="wavelet", levels=1))
    config.reconstruction.kind = "constant"
    return config


def lddgan(*, autoencoder: str, **fields: Any) -> ConfigDict:
    """`ddgan(**fields)` in the latents of the autoencoder whose run folder is `autoencoder`.

    Latents are divided by `config.space.scale`, or with 0 by what is measured on the training data:
    with `config.space.unit` "largest" their largest absolute value, with "deviation" their root
    mean square, which needs gen.tanh=False.
    """
    config = ddgan(**fields)
    config.space = ConfigDict(
        dict(kind="latent", autoencoder=autoencoder, scale=0.0, unit="largest")
    )
    config.reconstruction.kind = "weighted"
    return config
