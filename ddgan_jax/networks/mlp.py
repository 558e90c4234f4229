"""Residual MLP pair for points and very small images: every input is flattened."""

import math

import flax.linen as nn
import jax.numpy as jnp

from ddgan_jax.core.types import Array
from ddgan_jax.networks.entry import Network
from ddgan_jax.networks.layers import (
    NEAR_ZERO,
    SQRT_HALF,
    Dtype,
    dense,
    minibatch_stddev,
    sinusoidal_embedding,
)


def waves(x: Array, octaves: int, fade: float) -> Array:
    """[B, D] -> [B, D (1 + 2 octaves)]: x, then 2^(-k fade) sin and cos of 2^k x, k < octaves.

    An MLP is slow to learn detail much finer than its input's range; these hand it the detail.
    """
    if not octaves:
        return x
    k = jnp.arange(octaves, dtype=x.dtype)
    angles = x[:, :, None] * 2.0**k
    features = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    features = features * jnp.tile(2.0 ** (-k * fade), 2)
    return jnp.concatenate([x, features.reshape(x.shape[0], -1)], axis=-1)


class Trunk(nn.Module):
    """Dense, then residual blocks h + Dense(SiLU(Dense(h) + emb)), all scaled to unit variance."""

    width: int
    blocks: int
    dtype: Dtype
    param_dtype: Dtype
    equalized: bool = False

    @nn.compact
    def __call__(self, x: Array, emb: Array) -> Array:
        """X [B, D], embedding of time and latents [B, E] -> [B, width]."""
        kwargs = dict(dtype=self.dtype, param_dtype=self.param_dtype, equalized=self.equalized)
        h = dense(self.width, name="in", **kwargs)(x)
        for i in range(self.blocks):
            y = dense(self.width, name=f"block_{i}_0", **kwargs)(nn.silu(h))
            y = y + dense(self.width, name=f"block_{i}_emb", **kwargs)(emb)
            y = dense(self.width, name=f"block_{i}_1", **kwargs)(nn.silu(y))
            h = (h + y) * SQRT_HALF
        return nn.silu(h)


class MLPGenerator(nn.Module):
    """x_0' = G(x_{t+1}, t, z) for data of any shape.

    Attributes:
      width, blocks: of the trunk.
      t_width: of the time embedding.
      octaves: of `waves` on the input; 0 for images.
      tanh: output through tanh, for images; else linear.
      z_octaves: of `waves` on the latent and what stands behind it; they help a single step to
        tear it into modes.
      skip: what is made is added to x, before tanh, and begins near zero: a step begins as the
        identity (with tanh, as tanh x). Noise of the data's own shape then reaches all modes
        before anything is learned.
      equalized: learning rate of all weights, see `layers.conv`.
    """

    width: int
    blocks: int
    t_width: int
    octaves: int
    tanh: bool
    z_octaves: int = 0
    skip: bool = False
    equalized: bool = False
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, t: Array, z: Array, train: bool = False) -> Array:
        """X float32 [B, ...], t int32 [B], z float32 [B, nz] -> float32 like x."""
        del train
        temb = sinusoidal_embedding(t, self.t_width)
        z = waves(z, self.z_octaves, fade=0.0)
        emb = jnp.concatenate([temb, z], axis=-1).astype(self.dtype)
        flat = waves(x.reshape(x.shape[0], -1), self.octaves, fade=0.0).astype(self.dtype)
        kwargs = dict(param_dtype=self.param_dtype, equalized=self.equalized)
        h = Trunk(self.width, self.blocks, self.dtype, name="trunk", **kwargs)(flat, emb)
        scale = NEAR_ZERO if self.skip else 1.0
        out = dense(math.prod(x.shape[1:]), scale=scale, dtype=jnp.float32, name="out", **kwargs)(
            h.astype(jnp.float32)
        ).reshape(x.shape)
        if self.skip:
            out = out + x.astype(jnp.float32)
        return jnp.tanh(out) if self.tanh else out


class MLPDiscriminator(nn.Module):
    """D(x_t, t, x_{t+1}) -> one value per sample, for data of any shape.

    Attributes:
      width, blocks, t_width, octaves: as in the generator.
      group: samples whose deviation is seen together, see `minibatch_stddev`. Larger groups notice
        earlier that modes are missing; smaller ones leave the discriminator to look at each sample.
      classes: adversarial values per sample, one for each; 0: a single one.
    """

    width: int
    blocks: int
    t_width: int
    octaves: int
    group: int
    classes: int = 0
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x_t: Array, t: Array, x_next: Array) -> Array:
        """x_t, x_next float32 [B, ...], t int32 [B] -> float32 [B] or [B, classes]."""
        batch = x_t.shape[0]
        emb = sinusoidal_embedding(t, self.t_width).astype(self.dtype)
        # The finer the fainter: first learn where the modes are, then how narrow.
        flat = [
            waves(y.reshape(batch, -1), self.octaves, fade=0.5).astype(self.dtype)
            for y in (x_t, x_next)
        ]
        h = Trunk(self.width, self.blocks, self.dtype, self.param_dtype, name="trunk")(
            jnp.concatenate(flat, axis=-1), emb
        )
        values = max(self.classes, 1)
        out = dense(values, dtype=jnp.float32, param_dtype=self.param_dtype, name="out")(
            minibatch_stddev(h, self.group).astype(jnp.float32)
        )
        return out if self.classes else out[:, 0]


GENERATOR = Network(MLPGenerator)
DISCRIMINATOR = Network(MLPDiscriminator, stddev_group=lambda module: module.group)
