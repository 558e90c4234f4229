"""Diffused images for figures: DDGAN's forward chain, and Diffusion-GAN's discriminator inputs."""

import jax
import jax.numpy as jnp
import numpy as np

from ddgan_jax.core.types import Array
from ddgan_jax.diffusion import instance_noise, schedules
from ddgan_jax.diffusion.instance_noise import LIST_SIZE, InstanceNoise


def chain(key: Array, images: Array, betas: np.ndarray) -> Array:
    """Draw the forward chain x_0..x_T: x_t = sqrt(1 - beta_t) x_{t-1} + sqrt(beta_t) n_t.

    Args:
      key: typed PRNG key.
      images: x_0, float32 [N, ...].
      betas: beta_1..beta_T.

    Returns:
      float32 [T + 1, N, ...].
    """
    tables, x = schedules.forward_tables(betas), [images]
    for t in range(1, len(betas) + 1):
        noise = jax.random.normal(jax.random.fold_in(key, t), images.shape)
        x.append(tables.sqrt_alpha[t] * x[-1] + tables.sigma[t] * noise)
    return jnp.stack(x)


def discriminator_views(
    settings: InstanceNoise, key: Array, images: Array, times: tuple[int, ...]
) -> Array:
    """Diffuse images as Diffusion-GAN does before its discriminator, at its longest chain.

    Args:
      settings: settings of the instance noise.
      key: typed PRNG key; all times use the same noise.
      images: float32 [N, ...].
      times: each in {0..t_max}.

    Returns:
      float32 [len(times), N, ...].
    """
    state = instance_noise.init(settings, key)._replace(length=jnp.int32(settings.t_max))
    views = []
    for t in times:
        fixed = state._replace(times=jnp.full(LIST_SIZE, t, jnp.int32))
        views.append(instance_noise.diffuse(settings, fixed, key, images)[0])
    return jnp.stack(views)
