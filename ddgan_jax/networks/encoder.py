"""Discriminators that are encoders too: D(x, t) -> adversarial values and predicted latents.

One trunk, two heads. The minibatch standard deviation is shown to the adversarial head alone: what
is encoded depends on the image, not on its neighbours in the batch.
"""

import flax.linen as nn
import jax.numpy as jnp

from ddgan_jax.core.types import Array
from ddgan_jax.networks.entry import Network, fits_images
from ddgan_jax.networks.layers import (
    Dtype,
    conv,
    dense,
    minibatch_stddev,
    sinusoidal_embedding,
)
from ddgan_jax.networks.mlp import Trunk
from ddgan_jax.networks.resblock import DownBlock, downsample_per_block, leaky_relu


class ResBlockEncoder(nn.Module):
    """The ResBlock trunk of DDGAN's discriminator on one image, with two heads.

    Attributes:
      values: adversarial values per image: one per class, or 1.
      latents: numbers in the predicted latents.
      width, multipliers, downsample, t_width: as in `ResBlockDiscriminator`.
      group: samples whose deviation the adversarial head sees together; 1 for none.
      equalized: learning rate of all weights, see `layers.conv`.
    """

    values: int
    latents: int
    width: int
    multipliers: tuple[int, ...]
    downsample: tuple[bool, ...]
    t_width: int
    group: int
    equalized: bool
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, t: Array, logits: bool = True) -> tuple[Array | None, Array]:
        """X float32 [B, H, W, C], t int32 [B] -> float32 [B, values], [B, latents].

        Without `logits` the first result is None, and the batch may have any size.
        """
        kwargs = dict(param_dtype=self.param_dtype, equalized=self.equalized)
        inner = dict(dtype=self.dtype, **kwargs)
        temb = sinusoidal_embedding(t, self.t_width).astype(self.dtype)
        temb = leaky_relu(dense(self.t_width, name="time_0", **inner)(temb))
        temb = leaky_relu(dense(self.t_width, name="time_1", **inner)(temb))

        h = conv(2 * self.width, 1, name="conv_in", **inner)(x.astype(self.dtype))
        for i, (multiplier, down) in enumerate(zip(self.multipliers, self.downsample, strict=True)):
            h = DownBlock(self.width * multiplier, down, name=f"block_{i}", **inner)(h, temb)

        def head(h: Array, outputs: int, name: str) -> Array:
            """3x3 convolution, then one Dense over all positions: where things are matters."""
            h = leaky_relu(conv(self.width * self.multipliers[-1], 3, name=f"{name}_0", **inner)(h))
            h = h.astype(jnp.float32).reshape(h.shape[0], -1)
            return dense(outputs, dtype=jnp.float32, name=f"{name}_1", **kwargs)(h)

        latents = head(h, self.latents, "latent")
        if not logits:
            return None, latents
        seen = minibatch_stddev(h, self.group) if self.group > 1 else h
        return head(seen, self.values, "value"), latents


class MLPEncoder(nn.Module):
    """The residual MLP trunk with two heads, for very small images.

    Attributes:
      values, latents, group, equalized: as in `ResBlockEncoder`.
      width, blocks, t_width: of the trunk and the time embedding.
    """

    values: int
    latents: int
    width: int
    blocks: int
    t_width: int
    group: int
    equalized: bool
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, t: Array, logits: bool = True) -> tuple[Array | None, Array]:
        """X float32 [B, ...], t int32 [B] -> as `ResBlockEncoder`."""
        kwargs = dict(param_dtype=self.param_dtype, equalized=self.equalized)
        emb = sinusoidal_embedding(t, self.t_width).astype(self.dtype)
        flat = x.reshape(x.shape[0], -1).astype(self.dtype)
        h = Trunk(self.width, self.blocks, self.dtype, name="trunk", **kwargs)(flat, emb)

        def head(h: Array, outputs: int, name: str) -> Array:
            h = h.astype(jnp.float32)
            return dense(outputs, dtype=jnp.float32, name=name, **kwargs)(h)

        latents = head(h, self.latents, "latent")
        if not logits:
            return None, latents
        seen = minibatch_stddev(h, self.group) if self.group > 1 else h
        return head(seen, self.values, "value"), latents


RESBLOCK_ENCODER = Network(
    ResBlockEncoder,
    fits=fits_images(lambda module: sum(module.downsample)),
    consistent=downsample_per_block,
    stddev_group=lambda module: module.group,
)
MLP_ENCODER = Network(MLPEncoder, stddev_group=lambda module: module.group)
