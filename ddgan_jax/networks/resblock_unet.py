"""U-Net of the residual blocks of DDGAN's discriminator: a simpler generator than NCSN++.

It has no norms, no attention and no input pyramid; time and latent enter every block as one
embedding. docs/results.md compares it with NCSN++ for DDDG.
"""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from ddgan_jax.core.types import Array
from ddgan_jax.networks import resample
from ddgan_jax.networks.embedding import project
from ddgan_jax.networks.entry import Network, channels_of, fits_images
from ddgan_jax.networks.layers import (
    Dtype,
    conv,
    dense,
    sinusoidal_embedding,
    with_coordinates,
)
from ddgan_jax.networks.resblock import DownBlock, leaky_relu


class ResBlockUNet(nn.Module):
    """Generator x_0' = G(x_{t+1}, t, z).

    Attributes:
      channels: channels of the image.
      width: channels at the highest resolution.
      multipliers: factors of `width`, one per level; each further level halves the resolution.
      blocks: residual blocks per level on the way down, and as many on the way up.
      t_width: width of the time embedding, and of the joint embedding of time and latent.
      tanh: output through tanh; else linear.
      coordinates: append each pixel's coordinates to the input, as in `NCSNpp`.
      latent_map: add a dense layer of the latent to the features at the lowest resolution, a value
        for every position and channel. Without it the latent is the same at all positions, and a
        generator that starts from a constant image makes one image per class.
      equalized: equalized learning rate, see `layers.conv`.
      dtype: compute dtype.
    """

    channels: int
    width: int
    multipliers: tuple[int, ...]
    blocks: int
    t_width: int
    tanh: bool = True
    coordinates: bool = False
    latent_map: bool = False
    equalized: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, t: Array, z: Array, train: bool = False) -> Array:
        """Generated x_0 of x float32 [B, H, W, channels], t int32 [B] and z float32 [B, nz]."""
        del train
        kwargs: dict[str, Any] = dict(dtype=self.dtype, equalized=self.equalized)
        emb = jnp.concatenate([sinusoidal_embedding(t, self.t_width), z], axis=-1)
        emb = emb.astype(self.dtype)
        for i in range(2):
            emb = leaky_relu(dense(self.t_width, name=f"embedding_{i}", **kwargs)(emb))
        joint = project(self, emb, "time", self.equalized)

        def level_blocks(h: Array, level: int, name: str, downsample: bool) -> Array:
            features = self.width * self.multipliers[level]
            for i in range(self.blocks):
                halve = downsample and i == 0
                h = DownBlock(features, halve, name=f"{name}_{level}_block_{i}", **kwargs)(h, joint)
            return h

        h = (with_coordinates(x) if self.coordinates else x).astype(self.dtype)
        h = conv(self.width, 3, name="conv_in", **kwargs)(h)
        skips = []
        for level in range(len(self.multipliers)):
            h = level_blocks(h, level, "down", downsample=level > 0)
            skips.append(h)
        if self.latent_map:
            layer = dense(math.prod(h.shape[1:]), name="latent_map", **kwargs)
            h = h + layer(z.astype(self.dtype)).reshape(h.shape)
        for level in reversed(range(len(self.multipliers))):
            h = jnp.concatenate([h, skips[level]], axis=-1)
            h = level_blocks(h, level, "up", downsample=False)
            if level > 0:
                h = resample.upsample(h)
        h = conv(self.channels, 3, name="conv_out", **kwargs)(leaky_relu(h)).astype(jnp.float32)
        return jnp.tanh(h) if self.tanh else h


GENERATOR = Network(
    ResBlockUNet, channels_of, fits=fits_images(lambda module: len(module.multipliers) - 1)
)
