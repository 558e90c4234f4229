"""Time-conditioned ResBlock discriminator of DDGAN (Xiao et al. 2022).

The published *small* and *large* discriminators differ in their attributes only.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ddgan_jax.core.types import Array
from ddgan_jax.networks import resample
from ddgan_jax.networks.embedding import Embedding, project
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
    """Leaky ReLU with slope 0.2."""
    return nn.leaky_relu(x, 0.2)


@jax.custom_vjp
def _shifted_leaky_relu(x: Array, offset: Array) -> Array:
    """Leaky ReLU of x [B, H, W, C] + offset [B, C], computed in float32, in x's dtype.

    XLA for GPUs would write the offset out for every position, and for the gradient of what is
    added to the offset sum over all of x again.
    """
    return leaky_relu(x.astype(jnp.float32) + offset[:, None, None, :]).astype(x.dtype)


def _forward(x: Array, offset: Array) -> tuple[Array, tuple[Array, Array]]:
    return _shifted_leaky_relu(x, offset), (x, offset)


def _backward(kept: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, offset = kept
    positive = x.astype(jnp.float32) + offset[:, None, None, :] >= 0
    dx = dy.astype(jnp.float32) * jnp.where(positive, 1.0, 0.2)
    summed = jax.lax.optimization_barrier(dx.sum(axis=(1, 2)))
    return dx.astype(x.dtype), summed.astype(offset.dtype)


_shifted_leaky_relu.defvjp(_forward, _backward)


class DownBlock(nn.Module):
    """Residual block: LeakyReLU, conv, +time, LeakyReLU, [downsample], conv; sum / sqrt 2.

    The shortcut is a 1x1 convolution.

    Attributes:
      features: number of output channels.
      downsample: whether it halves the resolution.
      equalized: equalized learning rate, see `layers.conv`.
      dtype: compute dtype.
    """

    features: int
    downsample: bool
    equalized: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, temb: Embedding) -> Array:
        """Features [B, H or H/2, W or W/2, F] of x [B, H, W, C] and time embeddings [B, E]."""
        kwargs: dict[str, Any] = dict(dtype=self.dtype, equalized=self.equalized)
        h, bias = conv(self.features, 3, name="conv_0", **kwargs).linear(leaky_relu(x))
        assert bias is not None
        time = temb.through(dense(self.features, name="time", **kwargs)).astype(jnp.float32)
        h = _shifted_leaky_relu(h, time + bias)
        if self.downsample:
            h, x = resample.downsample(h), resample.downsample(x)
        h = conv(self.features, 3, scale=NEAR_ZERO, name="conv_1", **kwargs)(h, SQRT_HALF)
        return h + conv(self.features, 1, use_bias=False, name="shortcut", **kwargs)(x, SQRT_HALF)


def trunk(
    module: nn.Module,
    x: Array,
    t: Array,
    *,
    width: int,
    multipliers: Sequence[int],
    downsample: Sequence[bool],
    t_width: int,
    dtype: Dtype,
    equalized: bool = False,
) -> Array:
    """Time embedding, 1x1 convolution, `DownBlock`s.

    Args:
      module: the module that has these layers, within its compact method.
      x: images, float32 [B, H, W, C].
      t: times, int32 [B].
      width, multipliers, downsample, t_width: see `ResBlockDiscriminator`.
      dtype: compute dtype.
      equalized: equalized learning rate, see `layers.conv`.

    Returns:
      Features [B, h, w, width * multipliers[-1]].
    """
    kwargs: dict[str, Any] = dict(dtype=dtype, equalized=equalized)
    temb = sinusoidal_embedding(t, t_width).astype(dtype)
    temb = leaky_relu(dense(t_width, name="time_0", **kwargs)(temb))
    temb = leaky_relu(dense(t_width, name="time_1", **kwargs)(temb))
    times = project(module, temb, "time", equalized)
    h = conv(2 * width, 1, name="conv_in", **kwargs)(x.astype(dtype))
    for i, (multiplier, down) in enumerate(zip(multipliers, downsample, strict=True)):
        h = DownBlock(width * multiplier, down, name=f"block_{i}", **kwargs)(h, times)
    return h


class ResBlockDiscriminator(nn.Module):
    """Discriminator D(x_t, t, x_{t+1}) -> logits, one per sample or one per class.

    Attributes:
      width: base number of channels, `ngf` in the published code.
      multipliers: factors of `width`, one per block. *small*: (2, 4, 8, 8); *large*:
        (4, 8, 8, 8, 8, 8).
      downsample: whether each block halves the resolution. *small*: all but the first do; *large*:
        all do.
      t_width: width of the time embedding.
      final_scale: variance scale of the last convolution's initialization; *small*: 0 (near zero),
        *large*: 1.
      classes: number of logits per sample, one for each class; 0: a single logit.
      dtype: compute dtype.
    """

    width: int
    multipliers: tuple[int, ...]
    downsample: tuple[bool, ...]
    t_width: int
    final_scale: float
    classes: int = 0
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x_t: Array, t: Array, x_next: Array) -> Array:
        """Logits [B] or [B, classes] of x_t, x_next float32 [B, H, W, C] and t int32 [B]."""
        h = trunk(
            self,
            jnp.concatenate([x_t, x_next], axis=-1),
            t,
            width=self.width,
            multipliers=self.multipliers,
            downsample=self.downsample,
            t_width=self.t_width,
            dtype=self.dtype,
        )
        h = conv(
            self.width * self.multipliers[-1],
            3,
            scale=max(self.final_scale, NEAR_ZERO),
            dtype=self.dtype,
            name="conv_out",
        )(minibatch_stddev(h))
        h = leaky_relu(h).astype(jnp.float32).sum(axis=(1, 2))
        logits: Array = dense(max(self.classes, 1), dtype=jnp.float32, name="out")(h)
        return logits if self.classes else logits[:, 0]


def downsample_per_block(module: Any) -> str:
    """Check that `downsample` has one entry per block, as `Network.consistent`."""
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
