"""GAN: noise to image in one step (Goodfellow et al. 2014), non-saturating, with R1.

The noise is low-dimensional, a latent z, or high-dimensional, an image of noise of the data's own
shape. Both go through the same generator (x, t, z) at t = 0, so that they differ in nothing else:

  low:   x is one fixed picture of noise, the same for every sample; z ~ N(0, I)
  high:  x ~ N(0, I); z is constant

`view` is what stands between images and the discriminator: nothing here, noise in Diffusion-GAN.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddgan_jax.core import losses
from ddgan_jax.core.types import Array, Aux, Carry, Context, Method, Params, Phase, PyTree, Space
from ddgan_jax.inference.sampling import per_sample_normal
from ddgan_jax.methods.conditioning import (
    draw_labels,
    init_judge_one,
    judge_one,
    no_latent,
    of_class,
    with_class,
)

View = Callable[[Carry, Array, Array], tuple[Array, Array]]


def as_it_is(carry: Carry, key: Array, x: Array) -> tuple[Array, Array]:
    """The view of a plain GAN: the images themselves, t = 0."""
    del carry, key
    return x, jnp.zeros(x.shape[0], jnp.int32)


def make_gan(
    *,
    generator: Any,
    discriminator: Any,
    space: Space,
    latent_size: int | None,
    r1_gamma: float,
    r1_every: int,
    classes: int = 0,
    view: View = as_it_is,
) -> Method:
    """A GAN over any space.

    Args:
      generator: module (x, t, z, train) -> image; behind z is the class.
      discriminator: module (image, t, nothing) -> [B], or [B, classes]; see `parts.judge_one`.
      space: where the images are.
      latent_size: numbers in z; None: high-dimensional noise.
      r1_gamma: R1 adds gamma/2 E||d D(view(x)) / d x||^2, on real images x; 0 leaves it out.
      r1_every: steps between two applications of R1.
      classes: labels of the data are 0..classes-1; 0: unconditional. See `parts`.
      view: (carry, key, images x [B, ...]) -> (what D gets to see of them, t int32 [B]).
    """
    noise_shape = space.shape if latent_size is None else (latent_size,)
    canvas = np.random.default_rng(0).standard_normal(space.shape, np.float32)

    def inputs(noise: Array, labels: Array) -> tuple[Array, Array, Array]:
        """(x, t, z) for the generator."""
        count = noise.shape[0]
        t = jnp.zeros(count, jnp.int32)
        if latent_size is None:
            return noise, t, with_class(no_latent(count), labels, classes)
        x = jnp.broadcast_to(canvas, (count, *space.shape))
        return x, t, with_class(noise, labels, classes)

    def init(key: Array) -> dict[str, PyTree]:
        key_gen, key_disc = jax.random.split(key)
        # Parameters do not depend on the batch; 4 is what minibatch stddev likes.
        noise, x = jnp.zeros((4, *noise_shape)), jnp.zeros((4, *space.shape))
        return {
            "gen": generator.init(key_gen, *inputs(noise, jnp.zeros(4, jnp.int32)))["params"],
            "disc": init_judge_one(discriminator, key_disc, x),
        }

    def judge(params: Params, context: Context, use: int, x: Array) -> Array:
        """D of what it gets to see of x; one `use` is one draw of the view."""
        seen, t = view(context.carry, jax.random.fold_in(context.key, use), x)
        return of_class(judge_one(discriminator, params, seen, t), context.batch["label"])

    def real_images(context: Context) -> Array:
        return space.encode(context.batch["image"], context.frozen)

    def fake_images(params: Params, context: Context) -> Array:
        key_noise, key_dropout = jax.random.split(jax.random.fold_in(context.key, 0))
        noise = jax.random.normal(key_noise, (context.batch["image"].shape[0], *noise_shape))
        x, t, z = inputs(noise, context.batch["label"])
        variables = {"params": params["gen"]}
        return generator.apply(variables, x, t, z, True, rngs={"dropout": key_dropout})

    def discriminator_phase(params: Params, context: Context) -> tuple[Array, Aux]:
        fake = jax.lax.stop_gradient(fake_images(params, context))
        d_real = judge(params, context, 1, real_images(context))
        d_fake = judge(params, context, 2, fake)
        metrics = {"real": jnp.mean(d_real), "fake": jnp.mean(d_fake)}
        return losses.discriminator_loss(d_real, d_fake), Aux(metrics, {"real": d_real})

    def r1(params: Params, context: Context) -> tuple[Array, Aux]:
        penalty = losses.r1_penalty(lambda x: judge(params, context, 1, x), real_images(context))
        return 0.5 * r1_gamma * penalty, Aux({"r1": penalty})

    def generator_phase(params: Params, context: Context) -> tuple[Array, Aux]:
        d_fake = judge(params, context, 2, fake_images(params, context))
        return losses.generator_loss(d_fake), Aux()

    def sample(params: Params, keys: Array, frozen: PyTree, labels: Array | None = None) -> Array:
        noise = per_sample_normal(keys, 0, 0, noise_shape)
        labels = draw_labels(keys, 1, classes, labels)
        made = generator.apply({"params": params["gen"]}, *inputs(noise, labels))
        return space.decode(made, frozen)

    return Method(
        init=init,
        phases=(
            Phase("disc", discriminator_phase, r1 if r1_gamma > 0 else None, r1_every),
            Phase("gen", generator_phase),
        ),
        sample=sample,
        ema_roles=("gen",),
        nfe=1,
    )
