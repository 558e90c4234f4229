"""Residual MLP pair for points and very small images: every input is flattened."""

import math

import flax.linen as nn
import jax.numpy as jnp

from ddgan_jax.networks.layers import SQRT_HALF, Dtype, dense, sinusoidal_embedding
from ddgan_jax.types import Array


class _Trunk(nn.Module):
    """Dense, then residual blocks h + Dense(SiLU(Dense(h) + emb)), all scaled to unit variance."""

    width: int
    blocks: int
    dtype: Dtype
    param_dtype: Dtype

    @nn.compact
    def __call__(self, x: Array, emb: Array) -> Array:
        kwargs = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        h = dense(self.width, name="in", **kwargs)(x)
        for i in range(self.blocks):
            y = dense(self.width, name=f"block_{i}_0", **kwargs)(nn.silu(h))
            y = y + dense(self.width, name=f"block_{i}_emb", **kwargs)(emb)
            y = dense(self.width, name=f"block_{i}_1", **kwargs)(nn.silu(y))
            h = (h + y) * SQRT_HALF
        return nn.silu(h)


class MLPGenerator(nn.Module):
    """x_0' = G(x_{t+1}, t, z) for data of any shape; linear output, or tanh for images."""

    width: int
    blocks: int
    t_width: int
    tanh: bool
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, t: Array, z: Array, train: bool = False) -> Array:
        """x float32 [B, ...], t int32 [B], z float32 [B, nz] -> float32 like x."""
        del train
        temb = sinusoidal_embedding(t, self.t_width)
        emb = jnp.concatenate([temb, z], axis=-1).astype(self.dtype)
        flat = x.reshape(x.shape[0], -1).astype(self.dtype)
        h = _Trunk(self.width, self.blocks, self.dtype, self.param_dtype, name="trunk")(flat, emb)
        out = dense(
            math.prod(x.shape[1:]), dtype=jnp.float32, param_dtype=self.param_dtype, name="out"
        )(h.astype(jnp.float32))
        return (jnp.tanh(out) if self.tanh else out).reshape(x.shape)


class MLPDiscriminator(nn.Module):
    """D(x_t, t, x_{t+1}) -> one value per sample, for data of any shape."""

    width: int
    blocks: int
    t_width: int
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x_t: Array, t: Array, x_next: Array) -> Array:
        """x_t, x_next float32 [B, ...], t int32 [B] -> float32 [B]."""
        batch = x_t.shape[0]
        emb = sinusoidal_embedding(t, self.t_width).astype(self.dtype)
        flat = [y.reshape(batch, -1).astype(self.dtype) for y in (x_t, x_next)]
        h = _Trunk(self.width, self.blocks, self.dtype, self.param_dtype, name="trunk")(
            jnp.concatenate(flat, axis=-1), emb
        )
        out = dense(1, dtype=jnp.float32, param_dtype=self.param_dtype, name="out")
        return out(h.astype(jnp.float32))[:, 0]
