"""Images on their way to noise: DDGAN's chain, and what Diffusion-GAN's discriminator sees."""

import jax
import jax.numpy as jnp
import numpy as np

from ddgan_jax.core.types import Array
from ddgan_jax.diffusion import instance_noise, schedules
from ddgan_jax.diffusion.instance_noise import LIST_SIZE, InstanceNoise


def chain(key: Array, images: Array, betas: np.ndarray) -> Array:
    """x_0, x_1, .., x_T of every image: x_t = sqrt(1 - beta_t) x_{t-1} + sqrt(beta_t) n_t.

    Args:
      key: typed.
      images: float32 [N, ...].
      betas: beta_1..beta_T.

    Returns:
      Float32 [T + 1, N, ...].
    """
    tables, x = schedules.forward_tables(betas), [images]
    for t in range(1, len(betas) + 1):
        noise = jax.random.normal(jax.random.fold_in(key, t), images.shape)
        x.append(tables.sqrt_alpha[t] * x[-1] + tables.sigma[t] * noise)
    return jnp.stack(x)


def discriminator_views(
    settings: InstanceNoise, key: Array, images: Array, times: tuple[int, ...]
) -> Array:
    """Images as Diffusion-GAN's discriminator sees them at each time of its longest chain.

    Args:
      settings: of the noise.
      key: typed; the noise is the same at all times.
      images: float32 [N, ...].
      times: each in 0..t_max.

    Returns:
      Float32 [len(times), N, ...].
    """
    state = instance_noise.init(settings, key)._replace(length=jnp.int32(settings.t_max))
    views = []
    for t in times:
        every = state._replace(times=jnp.full(LIST_SIZE, t, jnp.int32))
        views.append(instance_noise.diffuse(settings, every, key, images)[0])
    return jnp.stack(views)
