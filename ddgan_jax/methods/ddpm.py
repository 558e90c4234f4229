"""DDPM: predict the noise (Ho et al. 2020, arXiv 2006.11239); sampled as there or by DDIM.

One train step: t ~ U{1..T}, x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) n, and the network lowers
E||n - eps(x_t, t)||^2 / D, D numbers in x. Sampling walks down tau_S > .. > tau_1, S <= T of the
times, T among them. With x_0' = (x - sqrt(1 - abar) eps) / sqrt(abar):

  ancestral:  x ~ q(x_{tau_{i-1}} | x_{tau_i}, x_0'), the posterior of the chain of these S times
  ddim:       x = sqrt(abar') x_0' + sqrt(1 - abar') eps, abar' that of tau_{i-1}; no noise
              (Song et al. 2021, arXiv 2010.02502, eq. 12 with eta = 0)

The variance of an ancestral step is the posterior's; Ho et al. found the larger choice, beta, as
good. The network counts times from 0: it is told t - 1.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ddgan_jax.core.types import Array, Aux, Context, Method, Params, Phase, PyTree, Space
from ddgan_jax.diffusion import processes, schedules
from ddgan_jax.inference.sampling import per_sample_normal
from ddgan_jax.methods.conditioning import draw_labels, no_latent, with_class


def make_ddpm(
    *,
    generator: Any,
    space: Space,
    betas: np.ndarray,
    sampler: str,
    sample_steps: int,
    clip: bool,
    classes: int = 0,
) -> Method:
    """DDPM over any space.

    Args:
      generator: module (x_t, t - 1, z, train) -> predicted noise; z is constant, and behind it
        the class.
      space: where the images are.
      betas: beta_1..beta_T.
      sampler: "ancestral" or "ddim".
      sample_steps: S, 1..T.
      clip: x_0' to [-1, 1] while sampling; for images.
      classes: labels of the data are 0..classes-1; 0: unconditional. See `parts`.
    """
    forward = schedules.forward_tables(betas)
    times, kept = schedules.spaced(betas, sample_steps)
    kept_forward, process = schedules.forward_tables(kept), processes.gaussian(kept)

    def init(key: Array) -> dict[str, PyTree]:
        x, t = jnp.zeros((1, *space.shape)), jnp.zeros(1, jnp.int32)
        return {"gen": generator.init(key, x, t, with_class(no_latent(1), t, classes))["params"]}

    def phase(params: Params, context: Context) -> tuple[Array, Aux]:
        x_0 = space.encode(context.batch["image"], context.frozen)
        key_t, key_noise, key_dropout = jax.random.split(context.key, 3)
        t = jax.random.randint(key_t, x_0.shape[:1], 1, len(betas) + 1)
        noise = jax.random.normal(key_noise, x_0.shape)
        x_t = processes.diffuse(forward, x_0, t, noise)
        z = with_class(no_latent(x_0.shape[0]), context.batch["label"], classes)
        variables = {"params": params["gen"]}
        predicted = generator.apply(variables, x_t, t - 1, z, True, rngs={"dropout": key_dropout})
        return jnp.mean(jnp.square(predicted - noise)), Aux()

    def sample(params: Params, keys: Array, frozen: PyTree, labels: Array | None = None) -> Array:
        x_T = per_sample_normal(keys, sample_steps, 0, space.shape)
        labels = draw_labels(keys, sample_steps + 1, classes, labels)
        z = with_class(no_latent(keys.shape[0]), labels, classes)

        def denoise(x: Array, step: tuple[Array, Array]) -> tuple[Array, None]:
            i, t = (jnp.full(keys.shape, number) for number in step)
            predicted = generator.apply({"params": params["gen"]}, x, t - 1, z)
            x_0 = processes.x_0_from_noise(kept_forward, x, i + 1, predicted)
            if clip:
                x_0 = jnp.clip(x_0, -1.0, 1.0)
            if sampler == "ddim":
                return processes.ddim_step(kept_forward, x_0, x, i), None
            noise = per_sample_normal(keys, step[0], 0, space.shape)
            return process.restore(noise, x_0, x, i), None

        steps = (jnp.arange(sample_steps), jnp.asarray(times))
        return space.decode(jax.lax.scan(denoise, x_T, steps, reverse=True)[0], frozen)

    return Method(
        init=init,
        phases=(Phase("gen", phase),),
        sample=sample,
        ema_roles=("gen",),
        nfe=sample_steps,
    )
