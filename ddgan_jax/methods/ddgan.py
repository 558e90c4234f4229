"""DDGAN: a conditional GAN for every denoising step (Xiao et al. 2022, arXiv 2112.07804).

One train step is algorithm 2 of the report in two phases. Discriminator: x_0 -> (x_t, x_{t+1}) at
a random t; the fake is x_t' ~ q(x_t | x_{t+1}, x_0'), x_0' = G(x_{t+1}, t, z). Generator: the same
draw again, with t, noise and z of its own.

WDDGAN and LDDGAN are this method in other spaces, with lambda L1(x_0, x_0') in the generator's
loss.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ddgan_jax.core import losses
from ddgan_jax.core.types import Array, Aux, Context, Method, Params, Phase, Process, PyTree, Space
from ddgan_jax.inference.sampling import per_sample_normal
from ddgan_jax.methods.conditioning import draw_labels, of_class, with_class

Apply = Callable[..., Array]


def make_ddgan(
    *,
    generator: Any,
    discriminator: Any,
    process: Process,
    space: Space,
    latent_size: int,
    r1_gamma: float,
    r1_every: int,
    classes: int = 0,
    reconstruction: Callable[[Array], Array] | None = None,
) -> Method:
    """DDGAN over any process and space.

    Args:
      generator: module (x_{t+1}, t, z, train) -> x_0'; behind z is the class.
      discriminator: module (x_t, t, x_{t+1}) -> [B], or [B, classes].
      process, space: what is destroyed, and where.
      latent_size: nz, numbers in z.
      r1_gamma: R1 adds gamma/2 E||d D / d x_t||^2, on the real pair; 0 leaves it out.
      r1_every: `lazy_reg`, steps between two applications of R1.
      classes: labels of the data are 0..classes-1; 0: unconditional. See `parts`.
      reconstruction: step -> lambda, the weight of L1(x_0, x_0') in the generator's loss; None
        leaves it out.
    """

    def init(key: Array) -> dict[str, PyTree]:
        key_gen, key_disc = jax.random.split(key)
        # Parameters do not depend on the batch; 4 is what minibatch stddev likes.
        x, t = jnp.zeros((4, *space.shape)), jnp.zeros(4, jnp.int32)
        z = with_class(jnp.zeros((4, latent_size)), t, classes)
        return {
            "gen": generator.init(key_gen, x, t, z)["params"],
            "disc": discriminator.init(key_disc, x, t, x)["params"],
        }

    def discriminate(
        params: Params, context: Context, x_t: Array, t: Array, x_next: Array
    ) -> Array:
        values = discriminator.apply({"params": params["disc"]}, x_t, t, x_next)
        return of_class(values, context.batch["label"])

    def real_x_0(context: Context) -> Array:
        return space.encode(context.batch["image"], context.frozen)

    def real_pair(context: Context) -> tuple[Array, Array, Array]:
        """(x_t, x_{t+1}, t) of this phase: a function of the context alone."""
        x_0 = real_x_0(context)
        key_t, key_pair = jax.random.split(jax.random.fold_in(context.key, 0))
        t = jax.random.randint(key_t, (x_0.shape[0],), 0, process.num_steps)
        return *process.corrupt(key_pair, x_0, t), t

    def fake_pair(params: Params, context: Context, x_next: Array, t: Array) -> tuple[Array, Array]:
        """(x_t', x_0') of this phase."""
        key_z, key_dropout, key_post = jax.random.split(jax.random.fold_in(context.key, 1), 3)
        z = jax.random.normal(key_z, (t.shape[0], latent_size))
        z = with_class(z, context.batch["label"], classes)
        x_0 = generator.apply(
            {"params": params["gen"]}, x_next, t, z, True, rngs={"dropout": key_dropout}
        )
        return process.restore(jax.random.normal(key_post, x_0.shape), x_0, x_next, t), x_0

    def discriminator_phase(params: Params, context: Context) -> tuple[Array, Aux]:
        x_t, x_next, t = real_pair(context)
        fake = jax.lax.stop_gradient(fake_pair(params, context, x_next, t)[0])
        d_real = discriminate(params, context, x_t, t, x_next)
        d_fake = discriminate(params, context, fake, t, x_next)
        metrics = {"real": jnp.mean(d_real), "fake": jnp.mean(d_fake)}
        return losses.discriminator_loss(d_real, d_fake), Aux(metrics)

    def r1(params: Params, context: Context) -> tuple[Array, Aux]:
        x_t, x_next, t = real_pair(context)
        penalty = losses.r1_penalty(lambda x: discriminate(params, context, x, t, x_next), x_t)
        return 0.5 * r1_gamma * penalty, Aux({"r1": penalty})

    def generator_phase(params: Params, context: Context) -> tuple[Array, Aux]:
        _, x_next, t = real_pair(context)
        fake, fake_x_0 = fake_pair(params, context, x_next, t)
        loss = losses.generator_loss(discriminate(params, context, fake, t, x_next))
        if reconstruction is None:
            return loss, Aux()
        l1 = losses.reconstruction_loss(real_x_0(context), fake_x_0)
        weight = reconstruction(context.step)
        return loss + weight * l1, Aux({"l1": l1, "l1_weight": weight})

    def sample(params: Params, keys: Array, frozen: PyTree, labels: Array | None = None) -> Array:
        generate = partial(generator.apply, {"params": params["gen"]})
        x_T = per_sample_normal(keys, process.num_steps, 0, space.shape)
        labels = draw_labels(keys, process.num_steps + 1, classes, labels)

        def denoise(x: Array, t: Array) -> tuple[Array, None]:
            times = jnp.full((keys.shape[0],), t)
            z = with_class(per_sample_normal(keys, t, 1, (latent_size,)), labels, classes)
            noise = per_sample_normal(keys, t, 2, space.shape)
            return process.restore(noise, generate(x, times, z), x, times), None

        x_0, _ = jax.lax.scan(denoise, x_T, jnp.arange(process.num_steps), reverse=True)
        return space.decode(x_0, frozen)

    return Method(
        init=init,
        phases=(
            Phase("disc", discriminator_phase, r1 if r1_gamma > 0 else None, r1_every),
            Phase("gen", generator_phase),
        ),
        sample=sample,
        ema_roles=("gen",),
        nfe=process.num_steps,
    )
