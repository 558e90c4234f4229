"""DifGAN: one generator applied T times, one discriminator for all it makes (Gui et al. 2023).

One train step is algorithm 4 of the report in two phases. x_T ~ N(0, I) of the data's own shape,
x_{t-1} = G(x_t, t) for t = T..1, and D compares every intermediate x_k with real images:

  L_D = sum_k eta^d_k (E softplus(-D(x)) + E softplus(D(x_k))),   k = 0..T-1
  L_G = sum_k eta^g_k E softplus(-D(x_k))        or, saturating, -sum_k eta^g_k E softplus(D(x_k))

The algorithm is written with the saturating form, which hardly moves G while D is sure; the configs
that come with the project choose the other. As in the algorithm there is one gradient of the whole
sum: it flows back through the chain, so that early steps also learn from what later ones make of
them. D does not know k. The network counts steps as DDGAN's does: it is told t - 1.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddgan_jax.core import losses
from ddgan_jax.core.types import Array, Aux, Context, Method, Params, Phase, PyTree, Space
from ddgan_jax.inference.sampling import per_sample_normal
from ddgan_jax.methods.conditioning import (
    draw_labels,
    init_judge_one,
    judge_one,
    no_latent,
    of_class,
    with_class,
)


def normalised(weights: Sequence[float]) -> np.ndarray:
    """eta_0..eta_{T-1} with sum 1, float32, from any weights >= 0 that are not all 0."""
    return np.asarray(np.asarray(weights, np.float64) / np.sum(weights), np.float32)


def make_difgan(
    *,
    generator: Any,
    discriminator: Any,
    space: Space,
    weights_disc: Sequence[float],
    weights_gen: Sequence[float],
    saturating: bool,
    r1_gamma: float,
    r1_every: int,
    classes: int = 0,
) -> Method:
    """DifGAN over any space; T is the number of weights.

    Args:
      generator: module (x_t, t, z, train) -> x_{t-1}; z is constant, and behind it the class.
      discriminator: module (image, 0, nothing) -> [B], or [B, classes]; see `parts.judge_one`.
      space: where the images are.
      weights_disc, weights_gen: eta^d_k and eta^g_k, k = 0..T-1, >= 0; divided by their sums.
      saturating: the generator lowers log(1 - sigmoid D) instead of raising log sigmoid D.
      r1_gamma: R1 adds gamma/2 E||d D(x) / d x||^2, on real images; 0 leaves it out.
      r1_every: steps between two applications of R1.
      classes: labels of the data are 0..classes-1; 0: unconditional. See `parts`.
    """
    num_steps = len(weights_gen)
    eta_disc, eta_gen = normalised(weights_disc), normalised(weights_gen)

    def init(key: Array) -> dict[str, PyTree]:
        key_gen, key_disc = jax.random.split(key)
        # Parameters do not depend on the batch; 4 is what minibatch stddev likes.
        x, t = jnp.zeros((4, *space.shape)), jnp.zeros(4, jnp.int32)
        return {
            "gen": generator.init(key_gen, x, t, with_class(no_latent(4), t, classes))["params"],
            "disc": init_judge_one(discriminator, key_disc, x),
        }

    def step(
        gen: PyTree, x: Array, t: int | Array, labels: Array, dropout: Array | None = None
    ) -> Array:
        """x_t from x_{t+1}, t = 0..T-1; `dropout` is the key of a training step."""
        times = jnp.full(x.shape[:1], t, jnp.int32)
        z = with_class(no_latent(x.shape[0]), labels, classes)
        if dropout is None:
            return generator.apply({"params": gen}, x, times, z)
        return generator.apply({"params": gen}, x, times, z, True, rngs={"dropout": dropout})

    def judge(params: Params, context: Context, x: Array) -> Array:
        values = judge_one(discriminator, params, x, jnp.zeros(x.shape[0], jnp.int32))
        return of_class(values, context.batch["label"])

    def judge_all(params: Params, context: Context, chain: Array) -> Array:
        """[T, B]; each x_k is a batch of its own, also for the minibatch deviation."""
        return jax.vmap(lambda x: judge(params, context, x))(chain)

    def real_images(context: Context) -> Array:
        return space.encode(context.batch["image"], context.frozen)

    def fake_chain(params: Params, context: Context) -> Array:
        """x_0..x_{T-1} [T, B, ...]. Unrolled: gradients through a loop crawl on CPU."""
        key_noise, key_dropout = jax.random.split(context.key)
        x = jax.random.normal(key_noise, (context.batch["image"].shape[0], *space.shape))
        made = []
        for t in reversed(range(num_steps)):
            key_step = jax.random.fold_in(key_dropout, t)
            x = step(params["gen"], x, t, context.batch["label"], key_step)
            made.append(x)
        return jnp.stack(made[::-1])

    def discriminator_phase(params: Params, context: Context) -> tuple[Array, Aux]:
        d_real = judge(params, context, real_images(context))
        d_fake = judge_all(params, context, jax.lax.stop_gradient(fake_chain(params, context)))
        of_step = jax.vmap(lambda fake: losses.discriminator_loss(d_real, fake))(d_fake)
        metrics = {"real": jnp.mean(d_real), "fake": jnp.mean(d_fake[0])}
        return jnp.sum(eta_disc * of_step), Aux(metrics)

    def r1(params: Params, context: Context) -> tuple[Array, Aux]:
        penalty = losses.r1_penalty(lambda x: judge(params, context, x), real_images(context))
        return 0.5 * r1_gamma * penalty, Aux({"r1": penalty})

    def generator_phase(params: Params, context: Context) -> tuple[Array, Aux]:
        d_fake = judge_all(params, context, fake_chain(params, context))
        loss = -jax.nn.softplus(d_fake) if saturating else jax.nn.softplus(-d_fake)
        return jnp.sum(eta_gen * jnp.mean(loss, axis=1)), Aux()

    # Sampling.

    def walk(params: Params, x_T: Array, labels: Array) -> tuple[Array, Array]:
        """x_0, and x_0..x_{T-1} [T, B, ...]."""

        def down(x: Array, t: Array) -> tuple[Array, Array]:
            x = step(params["gen"], x, t, labels)
            return x, x

        return jax.lax.scan(down, x_T, jnp.arange(num_steps), reverse=True)

    def prior(keys: Array, labels: Array | None = None) -> tuple[Array, Array]:
        """x_T ~ N(0, I) [B, ...], and classes drawn evenly, int32 [B]."""
        noise = per_sample_normal(keys, num_steps, 0, space.shape)
        return noise, draw_labels(keys, num_steps + 1, classes, labels)

    def decode(params: Params, latents: Array, labels: Array) -> Array:
        """x_T [B, ...] and labels int32 [B] -> float32 data [B, ...]."""
        return space.decode(walk(params, latents, labels)[0], ())

    def sample(params: Params, keys: Array, frozen: PyTree, labels: Array | None = None) -> Array:
        return space.decode(walk(params, *prior(keys, labels))[0], frozen)

    def path(params: Params, latents: Array, labels: Array) -> tuple[Array, Array]:
        """x_T..x_0 [T + 1, B, ...], and those that the generator made, x_{T-1}..x_0."""
        made = walk(params, latents, labels)[1][::-1]
        return jnp.concatenate([latents[None], made]), made

    return Method(
        init=init,
        phases=(
            Phase("disc", discriminator_phase, r1 if r1_gamma > 0 else None, r1_every),
            Phase("gen", generator_phase),
        ),
        sample=sample,
        ema_roles=("gen",),
        nfe=num_steps,
        prior=prior,
        decode=decode,
        path=path,
    )
