"""Discriminators with a second head that predicts latents: (x, t) -> logits and latents.

Both heads share the trunk of a discriminator. Only the logits' head sees the minibatch standard
deviation, so that the latents of an image do not depend on the rest of the batch.
"""

import flax.linen as nn
import jax.numpy as jnp

from ddgan_jax.core.types import Array
from ddgan_jax.networks.entry import Network, fits_images
from ddgan_jax.networks.layers import Dtype, conv, dense, minibatch_stddev, sinusoidal_embedding
from ddgan_jax.networks.mlp import Trunk
from ddgan_jax.networks.resblock import downsample_per_block, leaky_relu, trunk


def _with_deviation(h: Array, group: int) -> Array:
    return minibatch_stddev(h, group) if group > 1 else h


class ResBlockEncoder(nn.Module):
    """The ResBlock trunk of DDGAN's discriminator on single images, with two heads.

    Attributes:
      num_logits: logits per image, one per class, or 1.
      num_latents: numbers in the predicted latents.
      width, multipliers, downsample, t_width: see `ResBlockDiscriminator`.
      group: group size of the minibatch standard deviation; 1: none.
      equalized: equalized learning rate, see `layers.conv`.
      dtype: compute dtype.
    """

    num_logits: int
    num_latents: int
    width: int
    multipliers: tuple[int, ...]
    downsample: tuple[bool, ...]
    t_width: int
    group: int
    equalized: bool
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, t: Array, logits: bool = True) -> tuple[Array | None, Array]:
        """Logits [B, num_logits] and latents [B, num_latents] of x [B, H, W, C] and t int32 [B].

        With `logits=False` the logits are None, and the batch may have any size.
        """
        h = trunk(
            self,
            x,
            t,
            width=self.width,
            multipliers=self.multipliers,
            downsample=self.downsample,
            t_width=self.t_width,
            dtype=self.dtype,
            equalized=self.equalized,
        )
        channels, equalized = h.shape[-1], self.equalized

        def head(h: Array, outputs: int, name: str) -> Array:
            """A 3x3 convolution, then a dense layer over all positions and channels."""
            first = conv(channels, 3, equalized=equalized, dtype=self.dtype, name=f"{name}_0")
            last = dense(outputs, equalized=equalized, dtype=jnp.float32, name=f"{name}_1")
            h = leaky_relu(first(h)).astype(jnp.float32)
            result: Array = last(h.reshape(h.shape[0], -1))
            return result

        latents = head(h, self.num_latents, "latent")
        if not logits:
            return None, latents
        return head(_with_deviation(h, self.group), self.num_logits, "value"), latents


class MLPEncoder(nn.Module):
    """The residual MLP trunk with two heads, for very small images.

    Attributes:
      num_logits, num_latents, group, equalized, dtype: see `ResBlockEncoder`.
      width, blocks: width of the trunk, and its number of residual blocks.
      t_width: width of the time embedding.
    """

    num_logits: int
    num_latents: int
    width: int
    blocks: int
    t_width: int
    group: int
    equalized: bool
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, t: Array, logits: bool = True) -> tuple[Array | None, Array]:
        """Logits and latents of x [B, ...] and t int32 [B], as in `ResBlockEncoder`."""
        emb = sinusoidal_embedding(t, self.t_width).astype(self.dtype)
        flat = x.reshape(x.shape[0], -1).astype(self.dtype)
        h = Trunk(self.width, self.blocks, self.dtype, self.equalized, name="trunk")(flat, emb)

        def head(h: Array, outputs: int, name: str) -> Array:
            layer = dense(outputs, equalized=self.equalized, dtype=jnp.float32, name=name)
            result: Array = layer(h.astype(jnp.float32))
            return result

        latents = head(h, self.num_latents, "latent")
        if not logits:
            return None, latents
        return head(_with_deviation(h, self.group), self.num_logits, "value"), latents


RESBLOCK_ENCODER = Network(
    ResBlockEncoder,
    fits=fits_images(lambda module: sum(module.downsample)),
    consistent=downsample_per_block,
    stddev_group=lambda module: module.group,
)
MLP_ENCODER = Network(MLPEncoder, stddev_group=lambda module: module.group)
