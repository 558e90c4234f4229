"""Residual MLP generator and discriminator for points and very small images.

Inputs of any shape are flattened.
"""

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


def fourier_features(x: Array, octaves: int, fade: float) -> Array:
    """Append 2^(-k fade) sin(2^k x) and 2^(-k fade) cos(2^k x) for k < octaves.

    MLPs learn high frequencies of their inputs slowly; these features represent them
    (Tancik et al. 2020).

    Args:
      x: [B, D].
      octaves: number of frequencies; 0: x is returned as it is.
      fade: how fast the amplitudes fall with the frequency; 0: all are 1.

    Returns:
      [B, D (1 + 2 octaves)].
    """
    if not octaves:
        return x
    k = jnp.arange(octaves, dtype=x.dtype)
    angles = x[:, :, None] * 2.0**k
    features = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    features = features * jnp.tile(2.0 ** (-k * fade), 2)
    return jnp.concatenate([x, features.reshape(x.shape[0], -1)], axis=-1)


class Trunk(nn.Module):
    """A dense layer, then residual blocks (h + Dense(SiLU(Dense(SiLU(h)) + Dense(emb)))) / sqrt 2.

    Attributes:
      width: width of all layers.
      blocks: number of residual blocks.
      dtype: compute dtype.
      equalized: equalized learning rate, see `layers.conv`.
    """

    width: int
    blocks: int
    dtype: Dtype
    equalized: bool = False

    @nn.compact
    def __call__(self, x: Array, emb: Array) -> Array:
        """Features [B, width] of x [B, D], for embeddings of time and latents [B, E]."""

        def layer(name: str) -> nn.Dense:
            return dense(self.width, dtype=self.dtype, equalized=self.equalized, name=name)

        h: Array = layer("in")(x)
        for i in range(self.blocks):
            y = layer(f"block_{i}_0")(nn.silu(h))
            y = y + layer(f"block_{i}_emb")(emb)
            y = layer(f"block_{i}_1")(nn.silu(y))
            h = (h + y) * SQRT_HALF
        return nn.silu(h)


class MLPGenerator(nn.Module):
    """Generator x_0' = G(x_{t+1}, t, z) for data of any shape.

    Attributes:
      width, blocks: width of the trunk, and its number of residual blocks.
      t_width: width of the time embedding.
      octaves: number of frequencies in `fourier_features` of the input; 0 for images.
      tanh: output through tanh, for images; else linear.
      z_octaves: the same for z with its class; these features help a one-step generator to
        separate modes.
      skip: add x to the output before tanh, with the output layer near zero at first: training
        starts from the identity (with tanh, from tanh x). Noise of the data's shape then covers all
        modes from the start.
      equalized: equalized learning rate, see `layers.conv`.
      dtype: compute dtype.
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

    @nn.compact
    def __call__(self, x: Array, t: Array, z: Array, train: bool = False) -> Array:
        """Generated x_0 float32 [B, ...] of x [B, ...], t int32 [B] and z float32 [B, nz]."""
        del train
        temb = sinusoidal_embedding(t, self.t_width)
        z = fourier_features(z, self.z_octaves, fade=0.0)
        emb = jnp.concatenate([temb, z], axis=-1).astype(self.dtype)
        flat = fourier_features(x.reshape(x.shape[0], -1), self.octaves, fade=0.0)
        trunk = Trunk(self.width, self.blocks, self.dtype, self.equalized, name="trunk")
        h = trunk(flat.astype(self.dtype), emb)
        layer = dense(
            math.prod(x.shape[1:]),
            scale=NEAR_ZERO if self.skip else 1.0,
            equalized=self.equalized,
            dtype=jnp.float32,
            name="out",
        )
        out = layer(h.astype(jnp.float32)).reshape(x.shape)
        if self.skip:
            out = out + x.astype(jnp.float32)
        return jnp.tanh(out) if self.tanh else out


class MLPDiscriminator(nn.Module):
    """Discriminator D(x_t, t, x_{t+1}) -> logits for data of any shape.

    Attributes:
      width, blocks, t_width, octaves: see `MLPGenerator`.
      group: group size of the minibatch standard deviation. Larger groups detect missing modes
        earlier; smaller ones leave more weight on the single sample.
      classes: number of logits per sample, one for each class; 0: a single logit.
      dtype: compute dtype.
    """

    width: int
    blocks: int
    t_width: int
    octaves: int
    group: int
    classes: int = 0
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x_t: Array, t: Array, x_next: Array) -> Array:
        """Logits float32 [B] or [B, classes] of x_t, x_next float32 [B, ...] and t int32 [B]."""
        batch = x_t.shape[0]
        emb = sinusoidal_embedding(t, self.t_width).astype(self.dtype)
        # Faded: the discriminator first learns where the modes are, then how narrow they are.
        flat = [
            fourier_features(y.reshape(batch, -1), self.octaves, fade=0.5).astype(self.dtype)
            for y in (x_t, x_next)
        ]
        h = Trunk(self.width, self.blocks, self.dtype, name="trunk")(
            jnp.concatenate(flat, axis=-1), emb
        )
        h = minibatch_stddev(h, self.group).astype(jnp.float32)
        logits: Array = dense(max(self.classes, 1), dtype=jnp.float32, name="out")(h)
        return logits if self.classes else logits[:, 0]


GENERATOR = Network(MLPGenerator)
DISCRIMINATOR = Network(MLPDiscriminator, stddev_group=lambda module: module.group)
