"""Diffusion-GAN: a GAN whose discriminator sees diffused images (Wang et al. 2022, 2206.02262).

This is `gan.make_gan` with `instance_noise.diffuse` applied to every discriminator input, after the
augmentation if there is one. Gradients pass through both: those of the generator, and R1 and R2,
which are taken with respect to the images before both. `Carry.shared` is a `NoiseState`, or with a
generator of styles {"styles": its `StyleState`, "noise": the `NoiseState`}. The state is updated
inside the compiled step from the real logits of the discriminator phase; p, T and the times change
every `every` train steps.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from ddgan_jax.config import Field
from ddgan_jax.config.fields import choice, integer, number
from ddgan_jax.core.types import Array, Aux, Carry, Context, Method, Params, Phase, PyTree, Shape
from ddgan_jax.diffusion import instance_noise
from ddgan_jax.diffusion.instance_noise import InstanceNoise, NoiseState
from ddgan_jax.methods import gan as gan_method
from ddgan_jax.methods.entry import ONE_TURN_EACH, Length, MethodEntry, Penalties, Turns
from ddgan_jax.methods.gan import GAN, gan, make_gan


def make_diffusion_gan(
    parts: GAN, penalties: Penalties, noise: InstanceNoise, turns: Turns = ONE_TURN_EACH
) -> Method:
    """Diffusion-GAN over any space.

    Args:
      parts: the parts of a GAN. `parts.view` is ignored; the discriminator gets t in {0..t_max}.
      penalties: see `make_gan`.
      noise: settings of the noise.
      turns: see `make_gan`; the noise adapts to all turns of the discriminator.

    Returns:
      The method. It also logs "disc/p" and "disc/chain_length", the state of the noise before the
      step. Its `carry_init` raises a UserError for settings that `instance_noise.init` refuses.
    """

    def state_of(carry: Carry) -> NoiseState:
        state: NoiseState = carry.shared["noise"] if parts.styles else carry.shared
        return state

    def with_noise(carry: Carry, state: NoiseState) -> Carry:
        return Carry((), {**carry.shared, "noise": state} if parts.styles else state)

    def view(carry: Carry, key: Array, x: Array) -> tuple[Array, Array]:
        return instance_noise.diffuse(noise, state_of(carry), key, x)

    method = make_gan(parts._replace(view=view), penalties, turns)

    def with_state(disc: Phase) -> Phase:
        """The same phase; one of the discriminator also reports the state of the noise."""
        if disc.role != "disc":
            return disc

        def disc_loss(params: Params, context: Context) -> tuple[Array, Aux]:
            loss, aux = disc.loss(params, context)
            state = state_of(context.carry)
            extra = {"p": state.p, "chain_length": state.length.astype(jnp.float32)}
            return loss, aux._replace(metrics=aux.metrics | extra)

        return disc._replace(loss=disc_loss)

    def carry_update(carry: Carry, outputs: Mapping[str, PyTree], context: Context) -> Carry:
        state, inner = state_of(carry), method.carry_update(carry, outputs, context)
        if "disc" in outputs:  # the discriminator had a turn in this step
            state = instance_noise.update(noise, state, context.key, outputs["disc"]["real"])
        return with_noise(inner, state)

    def carry_init(key: Array) -> Carry:
        inner = method.carry_init(jax.random.fold_in(key, 1))
        return with_noise(inner, instance_noise.init(noise, key))

    return method._replace(
        phases=tuple(map(with_state, method.phases)),
        carry_init=carry_init,
        carry_update=carry_update,
    )


NOISE_FIELDS: dict[str, Field] = {
    "instance_noise.t_min": integer(10, 2, 10**5, help="shortest chain T"),
    "instance_noise.t_max": integer(1000, 2, 10**5, help="longest chain T"),
    "instance_noise.beta_min": number(
        1e-4, 0, 1, open_low=True, open_high=True, help="variance of the chain's first step"
    ),
    "instance_noise.beta_max": number(
        0.02, 0, 1, open_low=True, open_high=True, help="variance of the chain's last step"
    ),
    "instance_noise.noise_std": number(
        0.05, 0, 1e3, help="standard deviation of the noise, for images in [-1, 1]"
    ),
    "instance_noise.timesteps": choice(
        "priority", "priority", "uniform", help="weights of t in 1..T: t - 1, or all equal"
    ),
    "instance_noise.target": number(
        0.6, -1, 1, help="mean sign D(real) above which the chain gets longer"
    ),
    "instance_noise.every": integer(4, 1, 10**6, help="steps between two updates of p"),
    "instance_noise.images": integer(
        100_000, help="number of real images over which p rises from 0 to 1 if it never falls"
    ),
    "instance_noise.noisy": choice(
        "half",
        "half",
        "growing",
        help="share of images, or of channels of features, with t > 0: a half, or min(p, 3/4)",
    ),
}
FIELDS: dict[str, Field] = {**gan_method.FIELDS, **NOISE_FIELDS}


def noise_from_config(config: ConfigDict) -> InstanceNoise:
    """The instance noise that a complete config describes.

    Raises:
      UserError: see `instance_noise.check`.
    """
    noise = InstanceNoise(**config.instance_noise.to_dict())
    instance_noise.check(noise)
    return noise


def from_config(config: ConfigDict, shape: Shape, length: Length) -> Method:
    """The Diffusion-GAN that a complete config describes, for data of `shape`.

    Raises:
      UserError: t_max is below t_min or beta_max below beta_min, `latent_size` is 0 with
        config.noise='latent', or the space or a network does not fit the data.
    """
    del length
    noise = noise_from_config(config)
    parts = gan_method.parts_from_config(config, shape)
    return make_diffusion_gan(
        parts, Penalties.from_config(config), noise, Turns.from_config(config)
    )


METHOD = MethodEntry(from_config, FIELDS)


def diffusion_gan(**fields: Any) -> ConfigDict:
    """`gan(**fields)` with the paper's instance noise."""
    config = gan(**fields)
    config.method = "diffusion_gan"
    config.instance_noise = ConfigDict(InstanceNoise()._asdict())
    return config
