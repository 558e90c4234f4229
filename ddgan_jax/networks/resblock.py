"""Time-conditioned ResBlock discriminator of DDGAN; *small* and *large* differ in widths only."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from ddgan_jax.core.types import Array
from ddgan_jax.networks import resample
from ddgan_jax.networks.entry import Network, fits_images
from ddgan_jax.networks.layers import (
    NEAR_ZERO,
    SQRT_HALF,
    Dtype,
    conv,
    dense,
    minibatch_stddev,
    sinusoidal_embedding,
)


def leaky_relu(x: Array) -> Array:
    """Slope 0.2."""
    return nn.leaky_relu(x, 0.2)


class DownBlock(nn.Module):
    """LeakyReLU, conv, +time, LeakyReLU, [downsample], conv; 1x1 shortcut; sum / sqrt 2."""

    features: int
    downsample: bool
    equalized: bool = False
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, temb: Array) -> Array:
        """x [B, H, W, C], time embedding [B, E] -> [B, H or H/2, W or W/2, features]."""
        kwargs = dict(dtype=self.dtype, param_dtype=self.param_dtype, equalized=self.equalized)
        h = conv(self.features, 3, name="conv_0", **kwargs)(leaky_relu(x))
        h = leaky_relu(h + dense(self.features, name="time", **kwargs)(temb)[:, None, None, :])
        if self.downsample:
            h, x = resample.downsample(h), resample.downsample(x)
        h = conv(self.features, 3, scale=NEAR_ZERO, name="conv_1", **kwargs)(h)
        x = conv(self.features, 1, use_bias=False, name="shortcut", **kwargs)(x)
        return (x + h) * SQRT_HALF


class ResBlockDiscriminator(nn.Module):
    """D(x_t, t, x_{t+1}) -> one value per sample.

    Attributes:
      width: `ngf`.
      multipliers: of `width`, one per block. *small*: (2, 4, 8, 8); *large*: (4, 8, 8, 8, 8, 8).
      downsample: per block. *small*: all but the first; *large*: all.
      t_width: width of the time embedding.
      final_scale: initialisation of the last convolution: zero-like in *small*, 1 in *large*.
      classes: adversarial values per sample, one for each; 0: a single one.
    """

    width: int
    multipliers: tuple[int, ...]
    downsample: tuple[bool, ...]
    t_width: int
    final_scale: float
    classes: int = 0
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x_t: Array, t: Array, x_next: Array) -> Array:
        """x_t, x_next float32 [B, H, W, C], t int32 [B] -> float32 [B] or [B, classes]."""
        kwargs = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        temb = sinusoidal_embedding(t, self.t_width).astype(self.dtype)
        temb = leaky_relu(dense(self.t_width, name="time_0", **kwargs)(temb))
        temb = leaky_relu(dense(self.t_width, name="time_1", **kwargs)(temb))

        h = jnp.concatenate([x_t, x_next], axis=-1).astype(self.dtype)
        h = conv(2 * self.width, 1, name="conv_in", **kwargs)(h)
        for i, (multiplier, down) in enumerate(zip(self.multipliers, self.downsample, strict=True)):
            h = DownBlock(self.width * multiplier, down, name=f"block_{i}", **kwargs)(h, temb)

        h = minibatch_stddev(h)
        h = conv(
            self.width * self.multipliers[-1],
            3,
            scale=max(self.final_scale, NEAR_ZERO),
            name="conv_out",
            **kwargs,
        )(h)
        h = leaky_relu(h).astype(jnp.float32).sum(axis=(1, 2))
        values = max(self.classes, 1)
        out = dense(values, dtype=jnp.float32, param_dtype=self.param_dtype, name="out")(h)
        return out if self.classes else out[:, 0]


def downsample_per_block(module: Any) -> str:
    """What is wrong with `downsample`, if it has not one entry for each block."""
    wanted, found = len(module.multipliers), len(module.downsample)
    if wanted == found:
        return ""
    return (
        f"downsample has {found} entries; {wanted} are needed, one for each of "
        "config.disc.multipliers"
    )


DISCRIMINATOR = Network(
    ResBlockDiscriminator,
    fits=fits_images(lambda module: sum(module.downsample)),
    consistent=downsample_per_block,
    stddev_group=lambda module: 4,
)
