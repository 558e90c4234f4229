"""The U-Net of DDPM (Ho et al. 2020, appendix B), in the form that published weights have."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from ddgan_jax.core.types import Array
from ddgan_jax.networks.embedding import Embedding, project
from ddgan_jax.networks.entry import Network, channels_of, fits_images
from ddgan_jax.networks.layers import (
    NEAR_ZERO,
    Attention,
    Dtype,
    GroupNorm,
    conv,
    dense,
    sinusoidal_embedding,
)
from ddgan_jax.networks.resample import repeated


class Block(nn.Module):
    """Residual block: norm, SiLU, conv3x3, + Dense(SiLU(temb)), norm, SiLU, dropout, conv3x3.

    Attributes:
      features: number of output channels; the shortcut is a 1x1 convolution where it changes.
      groups, dropout, dtype: see `DDPMUNet`.
    """

    features: int
    groups: int
    dropout: float
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, temb: Embedding, train: bool) -> Array:
        """Features [B, H, W, F] of x [B, H, W, C], for SiLU of embedded times [B, E]."""
        kwargs: dict[str, Any] = dict(dtype=self.dtype)
        norm: dict[str, Any] = dict(groups=self.groups, silu=True, **kwargs)
        h = GroupNorm(**norm, name="norm_0")(x)
        h, bias = conv(self.features, 3, name="conv_0", **kwargs).linear(h)
        assert bias is not None
        time = temb.through(dense(self.features, name="time", **kwargs)).astype(jnp.float32)
        h = GroupNorm(**norm, name="norm_1")(h, time + bias)
        h = nn.Dropout(self.dropout, deterministic=not train)(h)
        h = conv(self.features, 3, scale=NEAR_ZERO, name="conv_1", **kwargs)(h)
        if x.shape[-1] != self.features:
            x = conv(self.features, 1, name="shortcut", **kwargs)(x)
        total: Array = x + h
        return total


class DDPMUNet(nn.Module):
    """Predicts the noise in x_t.

    Attributes:
      channels: channels of the image.
      width: channels at the highest resolution.
      multipliers: factors of `width`, one per level; each further level halves the resolution.
      blocks: residual blocks per level on the way down; one more on the way up.
      attention: resolutions with attention after every block.
      groups: groups of every norm; a divisor of all numbers of channels.
      dropout: dropout rate within residual blocks.
      dtype: compute dtype.
    """

    channels: int
    width: int
    multipliers: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    groups: int = 32
    dropout: float = 0.0
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, t: Array, z: Array, train: bool = False) -> Array:
        """Predicted noise of x float32 [B, H, W, channels] and t int32 [B], counted from 0.

        The latent z is not used.
        """
        del z
        kwargs: dict[str, Any] = dict(dtype=self.dtype)
        temb = sinusoidal_embedding(t, self.width).astype(self.dtype)
        temb = dense(4 * self.width, name="time_0", **kwargs)(temb)
        temb = nn.silu(dense(4 * self.width, name="time_1", **kwargs)(nn.silu(temb)))
        times = project(self, temb, "time")

        def block(h: Array, features: int, name: str) -> Array:
            layer = Block(features, self.groups, self.dropout, name=name, **kwargs)
            result: Array = layer(h, times, train)
            return result

        def attend(h: Array, name: str) -> Array:
            layer = Attention(groups=self.groups, rescale=False, scale=1.0, name=name, **kwargs)
            attended: Array = layer(h)
            return attended

        h = conv(self.width, 3, name="conv_in", **kwargs)(x.astype(self.dtype))
        skips, last = [h], len(self.multipliers) - 1
        for level, multiplier in enumerate(self.multipliers):
            for i in range(self.blocks):
                h = block(h, self.width * multiplier, f"down_{level}_block_{i}")
                if h.shape[1] in self.attention:
                    h = attend(h, f"down_{level}_attention_{i}")
                skips.append(h)
            if level < last:
                padding = ((0, 1), (0, 1))
                name = f"down_{level}_resample"
                h = conv(h.shape[-1], 3, strides=2, padding=padding, name=name, **kwargs)(h)
                skips.append(h)
        h = block(h, h.shape[-1], "mid_block_0")
        h = block(attend(h, "mid_attention"), h.shape[-1], "mid_block_1")
        for level in reversed(range(last + 1)):
            for i in range(self.blocks + 1):
                h = jnp.concatenate([h, skips.pop()], axis=-1)
                h = block(h, self.width * self.multipliers[level], f"up_{level}_block_{i}")
                if h.shape[1] in self.attention:
                    h = attend(h, f"up_{level}_attention_{i}")
            if level > 0:
                h = repeated(h)
                h = conv(h.shape[-1], 3, name=f"up_{level}_resample", **kwargs)(h)
        h = GroupNorm(groups=self.groups, silu=True, name="norm_out", **kwargs)(h)
        out = conv(self.channels, 3, scale=NEAR_ZERO, name="conv_out", dtype=jnp.float32)
        noise: Array = out(h.astype(jnp.float32))
        return noise


def _consistent(module: DDPMUNet) -> str:
    wrong = [m for m in (1, *module.multipliers) if m * module.width % module.groups]
    if not wrong:
        return ""
    return (
        f"groups is {module.groups}; a divisor of {module.width * wrong[0]}, one of the numbers of "
        "channels, is needed"
    )


GENERATOR = Network(
    DDPMUNet,
    channels_of,
    fits=fits_images(lambda module: len(module.multipliers) - 1),
    consistent=_consistent,
    latent=False,
)
