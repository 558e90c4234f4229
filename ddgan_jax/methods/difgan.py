"""DifGAN: one generator applied T times, one discriminator for all of its images (Gui et al. 2023).

One train step is algorithm 4 of the report in two phases. With x_T ~ N(0, I) of the data's shape
and x_{t-1} = G(x_t, t) for t = T..1, the discriminator compares every x_k with real images:

  L_D = sum_k eta^d_k (E softplus(-D(x)) + E softplus(D(x_k))),   k = 0..T-1
  L_G = sum_k eta^g_k E softplus(-D(x_k))

The algorithm prints the saturating generator loss, -sum_k eta^g_k E softplus(D(x_k)), whose
gradient vanishes while the discriminator is confident; it is `adversarial.loss = "saturating"`. The
gradient of the whole sum flows back through the chain, so early steps also learn from what later
steps make of their images. The discriminator is not told k. The generator is told t - 1, as in
DDGAN.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.config import REQUIRED, Field, check
from ddgan_jax.config.fields import numbers
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
from ddgan_jax.methods import augmentation
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
    Length,
    MethodEntry,
    Penalties,
    adversarial_preset,
)
from ddgan_jax.networks import DISCRIMINATORS, GENERATORS, build_network
from ddgan_jax.spaces import build_space


def normalized(weights: Sequence[float]) -> np.ndarray:
    """The weights eta_0..eta_{T-1} divided by their sum, float32; any weights >= 0, not all 0."""
    return np.asarray(np.asarray(weights, np.float64) / np.sum(weights), np.float32)


def make_difgan(
    *,
    generator: Generator,
    discriminator: Discriminator,
    space: Space,
    weights_disc: Sequence[float],
    weights_gen: Sequence[float],
    penalties: Penalties,
    classes: int = 0,
    loss: AdversarialLoss = ADVERSARIAL_LOSSES["nonsaturating"],
    augment: Augment = augmentation.unchanged,
) -> Method:
    """DifGAN over any space; T is the number of weights.

    Args:
      generator: (x_t, t - 1, z) -> x_{t-1}; z is constant, with the class appended.
      discriminator: (image, 0, image without channels) -> logits [B] or [B, classes].
      space: the space that images are in.
      weights_disc, weights_gen: eta^d_k and eta^g_k, k = 0..T-1, >= 0; divided by their sums.
      penalties: R1 at real images, R2 at the samples x_0.
      classes: labels are 0..classes-1; 0: unconditional.
      loss: the adversarial loss of every step.
      augment: changes the images that the discriminator is shown, those of each x_k independently.
    """
    num_steps = len(weights_gen)
    eta_disc, eta_gen = normalized(weights_disc), normalized(weights_gen)

    def init(key: Array) -> dict[str, PyTree]:
        key_gen, key_disc = jax.random.split(key)
        # Parameters do not depend on the batch size; 4 is a group of the minibatch deviation.
        x, t = jnp.zeros((4, *space.shape)), jnp.zeros(4, jnp.int32)
        z = append_class(constant_latent(4), t, classes)
        return {
            "gen": generator.init(key_gen, x, t, z)["params"],
            "disc": init_single_image(discriminator, key_disc, x),
        }

    def step(
        gen: PyTree, x: Array, t: int | Array, labels: Array, dropout: Array | None = None
    ) -> Array:
        """x_t from x_{t+1}, t = 0..T-1; `dropout` is the key of a training step."""
        times = jnp.full(x.shape[:1], t, jnp.int32)
        z = append_class(constant_latent(x.shape[0]), labels, classes)
        if dropout is None:
            return generator.apply({"params": gen}, x, times, z)
        return generator.apply({"params": gen}, x, times, z, True, rngs={"dropout": dropout})

    def logits(params: Params, context: Context, use: int | Array, x: Array) -> Array:
        (x,) = augment(context, use, x)
        times = jnp.zeros(x.shape[0], jnp.int32)
        out = single_image_logits(discriminator, params, x, times)
        return select_class(out, context.batch["label"])

    def chain_logits(params: Params, context: Context, chain: Array) -> Array:
        """[T, B]; each x_k is a batch of its own, also for the minibatch deviation."""
        uses = FAKE + jnp.arange(num_steps)
        return jax.vmap(lambda use, x: logits(params, context, use, x))(uses, chain)

    def real_images(context: Context) -> Array:
        return space.training_batch(context)

    def fake_chain(params: Params, context: Context) -> Array:
        """x_0..x_{T-1} [T, B, ...]; unrolled, since gradients through a scan are slow on CPU."""
        key_noise, key_dropout = jax.random.split(context.key)
        x = jax.random.normal(key_noise, (context.batch["image"].shape[0], *space.shape))
        made = []
        for t in reversed(range(num_steps)):
            key_step = jax.random.fold_in(key_dropout, t)
            x = step(params["gen"], x, t, context.batch["label"], key_step)
            made.append(x)
        return jnp.stack(made[::-1])

    def disc_loss(params: Params, context: Context) -> tuple[Array, Aux]:
        d_real = logits(params, context, REAL, real_images(context))
        d_fake = chain_logits(params, context, jax.lax.stop_gradient(fake_chain(params, context)))
        of_step = jax.vmap(lambda fake: loss.disc(d_real, fake))(d_fake)
        metrics = {"real": jnp.mean(d_real), "fake": jnp.mean(d_fake[0])}
        return jnp.sum(eta_disc * of_step), Aux(metrics)

    def gradient_penalties(params: Params, context: Context) -> tuple[Array, Aux]:
        return penalties.of(
            partial(logits, params, context),
            lambda: real_images(context),
            lambda: fake_chain(params, context)[0],
        )

    def gen_loss(params: Params, context: Context) -> tuple[Array, Aux]:
        d_fake = chain_logits(params, context, fake_chain(params, context))
        d_real = None
        if loss.gen_sees_real:
            d_real = logits(params, context, REAL, real_images(context))
        of_step = jax.vmap(lambda fake: loss.gen(d_real, fake))(d_fake)
        return jnp.sum(eta_gen * of_step), Aux()

    def start(keys: Array, labels: Array | None) -> tuple[Array, Array]:
        """x_T ~ N(0, I) [B, ...] and the classes, int32 [B]."""
        noise = per_sample_normal(keys, num_steps, 0, space.shape)
        return noise, draw_labels(keys, num_steps + 1, classes, labels)

    def walk(params: Params, x_T: Array, labels: Array) -> tuple[Array, Array]:
        """x_0, and x_0..x_{T-1} [T, B, ...]."""

        def down(x: Array, t: Array) -> tuple[Array, Array]:
            x = step(params["gen"], x, t, labels)
            return x, x

        return jax.lax.scan(down, x_T, jnp.arange(num_steps), reverse=True)

    def sample(params: Params, keys: Array, frozen: PyTree, labels: Array | None = None) -> Array:
        return space.decode(walk(params, *start(keys, labels))[0], frozen)

    def trajectory(
        params: Params, keys: Array, frozen: PyTree, labels: Array | None = None
    ) -> Array:
        x_T, labels = start(keys, labels)
        made = walk(params, x_T, labels)[1]
        return jnp.stack([space.decode(x, frozen) for x in (x_T, *made[::-1])])

    def evaluation(params: Params, count: int) -> Array:
        x = jnp.zeros((count, *space.shape))
        return step(params["gen"], x, 0, jnp.zeros(count, jnp.int32))

    return Method(
        init=init,
        phases=(
            penalties.phase(disc_loss, gradient_penalties),
            Phase("gen", gen_loss),
        ),
        sample=sample,
        ema_roles=("gen",),
        nfe=num_steps,
        trajectory=trajectory,
        evaluation=evaluation,
    )


FIELDS: dict[str, Field] = {
    **ADVERSARIAL_FIELDS,
    "difgan.weights_disc": numbers(REQUIRED, low=0, help="eta^d_k of x_k, k = 0..T-1"),
    "difgan.weights_gen": numbers(REQUIRED, low=0, help="eta^g_k of x_k, k = 0..T-1"),
}


def from_config(config: ConfigDict, shape: Shape, length: Length) -> Method:
    """The DifGAN that a complete config describes, for data of `shape`."""
    del length
    eta_disc, eta_gen = config.difgan.weights_disc, config.difgan.weights_gen
    for field, eta in (("weights_disc", eta_disc), ("weights_gen", eta_gen)):
        allowed = "one number >= 0 for each step, not all 0"
        check(config, f"difgan.{field}", len(eta) > 0 and sum(eta) > 0, allowed)
    same = len(eta_disc) == len(eta_gen)
    allowed = "as many weights as in config.difgan.weights_gen"
    check(config, "difgan.weights_disc", same, allowed)
    space = build_space(config, shape)
    return make_difgan(
        generator=build_network(config, "gen", GENERATORS, space.shape),
        discriminator=build_network(
            config, "disc", DISCRIMINATORS, space.shape, classes=config.classes
        ),
        space=space,
        weights_disc=eta_disc,
        weights_gen=eta_gen,
        penalties=Penalties.from_config(config),
        classes=config.classes,
        loss=ADVERSARIAL_LOSSES[config.adversarial.loss],
        augment=augmentation.from_config(config, space),
    )


METHOD = MethodEntry(from_config, FIELDS)


def difgan(
    *,
    num_steps: int,
    gen: Mapping[str, Any],
    disc: Mapping[str, Any],
    lr_gen: float,
    lr_disc: float,
    r1_gamma: float,
    r1_every: int,
) -> ConfigDict:
    """A DifGAN config. eta_k falls linearly from k = 0, the sample; T is the number of weights."""
    weights = tuple((num_steps - k) / (num_steps * (num_steps + 1) / 2) for k in range(num_steps))
    return adversarial_preset(
        "difgan",
        FIELDS,
        gen=gen,
        disc=disc,
        lr_gen=lr_gen,
        lr_disc=lr_disc,
        r1_gamma=r1_gamma,
        r1_every=r1_every,
        difgan=dict(weights_disc=weights, weights_gen=weights),
    )
