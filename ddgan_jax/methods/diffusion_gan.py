"""Diffusion-GAN: a GAN whose discriminator sees diffused images (Wang et al. 2022, 2206.02262).

It is `gan.make_gan` with `instance_noise.diffuse` between images and discriminator: the gradient of
the generator and R1 (at the clean image) go through the diffusion. p, T and the list of times are
`Carry.shared`, and change within the compiled step: after both players moved, by the sign of what D
said to the diffused real images of its own turn, before it moved.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from ddgan_jax.core.types import Array, Aux, Carry, Context, Method, Params, PyTree
from ddgan_jax.diffusion import instance_noise
from ddgan_jax.diffusion.instance_noise import InstanceNoise
from ddgan_jax.methods.gan import make_gan


def make_diffusion_gan(*, noise: InstanceNoise, **gan: Any) -> Method:
    """Diffusion-GAN over any space.

    Args:
      noise: settings of the noise.
      gan: the arguments of `make_gan`, but its `view`; the discriminator's t is in 0..t_max.
    """

    def view(carry: Carry, key: Array, x: Array) -> tuple[Array, Array]:
        return instance_noise.diffuse(noise, carry.shared, key, x)

    method = make_gan(view=view, **gan)
    disc, gen = method.phases

    def discriminator_phase(params: Params, context: Context) -> tuple[Array, Aux]:
        loss, aux = disc.loss(params, context)
        state = context.carry.shared
        extra = {"p": state.p, "chain_length": state.length.astype(jnp.float32)}
        return loss, aux._replace(metrics=aux.metrics | extra)

    def carry_update(carry: Carry, outputs: Mapping[str, PyTree], context: Context) -> Carry:
        if "disc" not in outputs:  # D had no turn: nothing is known of it
            return carry
        d_real = outputs["disc"]["real"]
        return Carry((), instance_noise.update(noise, carry.shared, context.key, d_real))

    return method._replace(
        phases=(disc._replace(loss=discriminator_phase), gen),
        carry_init=lambda key: Carry((), instance_noise.init(noise, key)),
        carry_update=carry_update,
    )
