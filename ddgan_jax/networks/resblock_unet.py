"""U-Net of the discriminator's residual blocks: a plainer generator than NCSN++.

No norms, no attention, no input pyramid; time and latent enter every block as one embedding. What
that costs and gains beside NCSN++ is measured for DDDG in docs/results.md.
"""

import flax.linen as nn
import jax.numpy as jnp

from ddgan_jax.core.types import Array
from ddgan_jax.networks import resample
from ddgan_jax.networks.entry import Network, channels_of, fits_images
from ddgan_jax.networks.layers import Dtype, conv, dense, sinusoidal_embedding, with_coordinates
from ddgan_jax.networks.resblock import DownBlock, leaky_relu


class ResBlockUNet(nn.Module):
    """Generator x_0' = G(x_{t+1}, t, z).

    Attributes:
      channels: of the image.
      width: channels at the finest level.
      multipliers: of `width`, one per level; each further level halves the resolution.
      blocks: residual blocks per level, each way.
      t_width: of the time embedding, and of what time and latent become together.
      tanh: output through tanh; else linear.
      coordinates: show the network where each pixel is, as in `NCSNpp`.
      equalized: learning rate of all weights, see `layers.conv`.
    """

    channels: int
    width: int
    multipliers: tuple[int, ...]
    blocks: int
    t_width: int
    tanh: bool = True
    coordinates: bool = False
    equalized: bool = False
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, t: Array, z: Array, train: bool = False) -> Array:
        """X float32 [B, H, W, channels], t int32 [B], z float32 [B, nz] -> float32 like x."""
        del train
        kwargs = dict(dtype=self.dtype, param_dtype=self.param_dtype, equalized=self.equalized)
        emb = jnp.concatenate([sinusoidal_embedding(t, self.t_width), z], axis=-1)
        emb = emb.astype(self.dtype)
        for i in range(2):
            emb = leaky_relu(dense(self.t_width, name=f"embedding_{i}", **kwargs)(emb))

        def level_blocks(h: Array, level: int, name: str, downsample: bool) -> Array:
            features = self.width * self.multipliers[level]
            for i in range(self.blocks):
                halve = downsample and i == 0
                h = DownBlock(features, halve, name=f"{name}_{level}_block_{i}", **kwargs)(h, emb)
            return h

        h = (with_coordinates(x) if self.coordinates else x).astype(self.dtype)
        h = conv(self.width, 3, name="conv_in", **kwargs)(h)
        skips = []
        for level in range(len(self.multipliers)):
            h = level_blocks(h, level, "down", downsample=level > 0)
            skips.append(h)
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
