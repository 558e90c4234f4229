"""DDPM: predict the noise (Ho et al. 2020, arXiv 2006.11239), sampled ancestrally or by DDIM.

One train step draws t ~ U{1..T} and x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) n, and the network
minimizes E||n - eps(x_t, t)||^2 / D, where D is the number of values in x. Sampling visits S <= T
of the times, tau_S = T > .. > tau_1. With x_0' = (x - sqrt(1 - abar) eps) / sqrt(abar):

  ancestral:  x ~ q(x_{tau_{i-1}} | x_{tau_i}, x_0'), the posterior of the chain of these S times
  ddim:       x = sqrt(abar') x_0' + sqrt(1 - abar') eps', with abar' that of tau_{i-1}
              (Song et al. 2021, arXiv 2010.02502, eq. 12 with eta = 0)

eps' = (x - sqrt(abar) x_0') / sqrt(1 - abar) is the noise that x and x_0' imply: the network's,
unless `sampler.clip` has changed x_0'.

The noise of an ancestral step has the posterior's variance or, with `sampler.variance=beta`, the
larger beta of the step; Ho et al. found both equally good. There is none in the last step. The
network counts times from 0: it is told t - 1.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.config import Field, adam, check
from ddgan_jax.config.fields import changeable, choice, flag, integer, number
from ddgan_jax.core.random import per_sample_normal
from ddgan_jax.core.types import (
    Array,
    Aux,
    Context,
    Generator,
    Method,
    Params,
    Phase,
    PyTree,
    Shape,
    Space,
)
from ddgan_jax.diffusion import processes, schedules
from ddgan_jax.methods.conditioning import append_class, constant_latent, draw_labels
from ddgan_jax.methods.entry import Length, MethodEntry, preset
from ddgan_jax.networks import GENERATORS, build_network, ends_with_tanh
from ddgan_jax.spaces import build_space


def make_ddpm(
    *,
    generator: Generator,
    space: Space,
    betas: np.ndarray,
    sampler: str,
    sample_steps: int,
    clip: bool,
    variance: str = "posterior",
    classes: int = 0,
) -> Method:
    """DDPM over any space.

    Args:
      generator: (x_t, t - 1, z) -> predicted noise; z is constant, with the class appended.
      space: the space that x_0 is in.
      betas: beta_1..beta_T.
      sampler: "ancestral" or "ddim".
      sample_steps: S in 1..T.
      clip: clip x_0' to [-1, 1] while sampling; for images.
      variance: of the noise in an ancestral step, "posterior" or "beta".
      classes: labels are 0..classes-1; 0: unconditional.
    """
    forward = schedules.forward_tables(betas)
    times, kept = schedules.spaced(betas, sample_steps)
    kept_forward, posterior = schedules.forward_tables(kept), schedules.posterior_tables(kept)
    if variance == "beta":
        sigma = np.where(np.arange(sample_steps) > 0, kept_forward.sigma[1:], np.float32(0))
        posterior = posterior._replace(variance=sigma**2, sigma=sigma)

    def init(key: Array) -> dict[str, PyTree]:
        x, t = jnp.zeros((1, *space.shape)), jnp.zeros(1, jnp.int32)
        z = append_class(constant_latent(1), t, classes)
        return {"gen": generator.init(key, x, t, z)["params"]}

    def noise_loss(params: Params, context: Context) -> tuple[Array, Aux]:
        x_0 = space.training_batch(context)
        key_t, key_noise, key_dropout = jax.random.split(context.key, 3)
        t = jax.random.randint(key_t, x_0.shape[:1], 1, len(betas) + 1)
        noise = jax.random.normal(key_noise, x_0.shape)
        x_t = processes.diffuse(forward, x_0, t, noise)
        z = append_class(constant_latent(x_0.shape[0]), context.batch["label"], classes)
        variables = {"params": params["gen"]}
        predicted = generator.apply(variables, x_t, t - 1, z, True, rngs={"dropout": key_dropout})
        return jnp.mean(jnp.square(predicted - noise)), Aux()

    def sample(params: Params, keys: Array, frozen: PyTree, labels: Array | None = None) -> Array:
        x_T = per_sample_normal(keys, sample_steps, 0, space.shape)
        labels = draw_labels(keys, sample_steps + 1, classes, labels)
        z = append_class(constant_latent(keys.shape[0]), labels, classes)

        def denoise(x: Array, step: tuple[Array, Array]) -> tuple[Array, None]:
            i, t = (jnp.full(keys.shape, number) for number in step)
            predicted = generator.apply({"params": params["gen"]}, x, t - 1, z)
            x_0 = processes.x_0_from_noise(kept_forward, x, i + 1, predicted)
            if clip:
                x_0 = jnp.clip(x_0, -1.0, 1.0)
            if sampler == "ddim":
                return processes.ddim_step(kept_forward, x_0, x, i), None
            noise = per_sample_normal(keys, step[0], 0, space.shape)
            return processes.posterior_sample(posterior, x_0, x, i, noise), None

        steps = (jnp.arange(sample_steps), jnp.asarray(times))
        return space.decode(jax.lax.scan(denoise, x_T, steps, reverse=True)[0], frozen)

    def evaluation(params: Params, count: int) -> Array:
        x, t = jnp.zeros((count, *space.shape)), jnp.zeros(count, jnp.int32)
        z = append_class(constant_latent(count), t, classes)
        return generator.apply({"params": params["gen"]}, x, t, z)

    return Method(
        init=init,
        phases=(Phase("gen", noise_loss),),
        sample=sample,
        ema_roles=("gen",),
        nfe=sample_steps,
        evaluation=evaluation,
    )


FIELDS: dict[str, Field] = {
    "diffusion.num_steps": integer(1000, 1, 10**5, help="T, diffusion steps in training"),
    "diffusion.beta_min": number(
        1e-4, 0, 1, open_low=True, open_high=True, help="beta_1; they grow linearly"
    ),
    "diffusion.beta_max": number(
        0.02, 0, 1, open_low=True, open_high=True, help="beta_T, variance of the last step"
    ),
    **changeable(
        {
            "sampler.kind": choice("ancestral", "ancestral", "ddim", help="how samples are drawn"),
            "sampler.steps": integer(1000, 1, 10**5, help="S of the T times, evenly spaced"),
            "sampler.variance": choice(
                "posterior", "posterior", "beta", help="of the noise in ancestral steps"
            ),
            "sampler.clip": flag(True, help="clip predicted data to [-1, 1]; for images"),
        }
    ),
}


def from_config(config: ConfigDict, shape: Shape, length: Length) -> Method:
    """The DDPM that a complete config describes, for data of `shape`.

    Raises:
      UserError: the network ends in a tanh.
    """
    del length
    space = build_space(config, shape)
    generator = build_network(config, "gen", GENERATORS, space.shape)
    allowed = "false (method 'ddpm' predicts noise, which is not confined to [-1, 1])"
    check(config, "gen.tanh", not ends_with_tanh(config, GENERATORS), allowed)
    return make_ddpm(
        generator=generator,
        space=space,
        betas=schedules.linear_betas(
            config.diffusion.num_steps, config.diffusion.beta_min, config.diffusion.beta_max
        ),
        sampler=config.sampler.kind,
        sample_steps=config.sampler.steps,
        clip=config.sampler.clip,
        variance=config.sampler.variance,
        classes=config.classes,
    )


METHOD = MethodEntry(from_config, FIELDS, roles=("gen",), networks=("gen",))


def ddpm(*, gen: Mapping[str, Any], learning_rate: float, clip: bool) -> ConfigDict:
    """A DDPM config. `gen` is {"network": name, attribute: value, ...}; `clip` is for images."""
    return preset(
        "ddpm",
        FIELDS,
        gen=gen,
        optim=dict(gen=adam(learning_rate, beta1=0.9, beta2=0.999)),
        sampler=dict(clip=clip),
    )
