"""Layers shared by the networks: initialisation, embeddings, norms, attention.

Compute runs in `dtype`; norms, embeddings and softmax in float32 whatever it is. Parameters are
float32 unless `param_dtype` says otherwise.
"""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ddgan_jax.core.types import Array

Dtype = Any
SQRT_HALF = math.sqrt(0.5)
NEAR_ZERO = 1e-10  # scale of "zero-like" initialisation: small, but not a dead start


def init_scale(scale: float) -> nn.initializers.Initializer:
    """Variance scaling over the average fan, uniform; `scale` multiplies the variance."""
    return nn.initializers.variance_scaling(scale, "fan_avg", "uniform")


def _scaled(multiply: Callable[..., Array]) -> Callable[..., Array]:
    """`multiply` (a product of input and kernel [..., in, out]) with the kernel / sqrt(fan in)."""

    def scaled(x: Array, kernel: Array, *args: Any, **kwargs: Any) -> Array:
        return multiply(x, kernel * math.prod(kernel.shape[:-1]) ** -0.5, *args, **kwargs)

    return scaled


_scaled_conv = _scaled(jax.lax.conv_general_dilated)
_scaled_dot = _scaled(jax.lax.dot_general)


def conv(
    features: int,
    kernel: int,
    *,
    scale: float = 1.0,
    equalized: bool = False,
    dtype: Dtype,
    param_dtype: Dtype,
    **kwargs,
) -> nn.Conv:
    """Square convolution with this family's initialisation, padding "SAME" unless told.

    `equalized`: the learning rate is (Karras et al. 2018): weights start as N(0, scale) and are
    multiplied by 1 / sqrt(fan in) whenever they are used, so that Adam moves all layers alike.
    """
    if equalized:
        kwargs["conv_general_dilated"] = _scaled_conv
    return nn.Conv(
        features,
        (kernel, kernel),
        kernel_init=nn.initializers.normal(scale**0.5) if equalized else init_scale(scale),
        dtype=dtype,
        param_dtype=param_dtype,
        **kwargs,
    )


def dense(
    features: int,
    *,
    scale: float = 1.0,
    equalized: bool = False,
    dtype: Dtype,
    param_dtype: Dtype,
    **kwargs,
) -> nn.Dense:
    """Dense layer with this family's initialisation; `equalized` as in `conv`."""
    if equalized:
        kwargs["dot_general"] = _scaled_dot
    return nn.Dense(
        features,
        kernel_init=nn.initializers.normal(scale**0.5) if equalized else init_scale(scale),
        dtype=dtype,
        param_dtype=param_dtype,
        **kwargs,
    )


def sinusoidal_embedding(t: Array, width: int) -> Array:
    """Positions int32 [B] -> float32 [B, width]: sines, then cosines (zero-padded if width is odd).

    Frequencies exp(-ln(10000) k / (half - 1)), k = 0..half-1, half = width // 2.
    """
    half = width // 2
    frequencies = jnp.exp(
        -math.log(10000.0) / max(half - 1, 1) * jnp.arange(half, dtype=jnp.float32)
    )
    angles = t.astype(jnp.float32)[:, None] * frequencies[None, :]
    embedding = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return jnp.pad(embedding, ((0, 0), (0, width % 2)))


def with_coordinates(x: Array) -> Array:
    """[B, H, W, C] -> [B, H, W, C + 2]: height and width of each pixel, from -1 to 1."""
    axes = (jnp.linspace(-1, 1, size, dtype=x.dtype) for size in x.shape[1:3])
    grid = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1)
    return jnp.concatenate([x, jnp.broadcast_to(grid, (x.shape[0], *grid.shape))], axis=-1)


def normalize_latent(z: Array) -> Array:
    """Z / sqrt(mean(z^2) + 1e-8) over the last axis (PixelNorm)."""
    return z * jax.lax.rsqrt(jnp.mean(jnp.square(z), axis=-1, keepdims=True) + 1e-8)


def group_count(channels: int) -> int:
    """min(C // 4, 32), and the largest number below it that divides C."""
    groups = max(min(channels // 4, 32), 1)
    while channels % groups:
        groups -= 1
    return groups


class GroupNorm(nn.Module):
    """Group norm in float32, eps 1e-6, with or without its own affine map.

    `groups`: how many; 0 for `group_count` of the channels.
    """

    affine: bool = True
    groups: int = 0
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, ..., C] -> the same shape in `dtype`."""
        norm = nn.GroupNorm(
            num_groups=self.groups or group_count(x.shape[-1]),
            epsilon=1e-6,
            use_bias=self.affine,
            use_scale=self.affine,
            use_fast_variance=False,
            dtype=jnp.float32,
            param_dtype=self.param_dtype,
            name="norm",
        )
        return norm(x.astype(jnp.float32)).astype(self.dtype)


def _one_then_zero(key: Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> Array:
    del key
    half = shape[0] // 2
    return jnp.concatenate([jnp.ones(half, dtype), jnp.zeros(shape[0] - half, dtype)])


class AdaptiveGroupNorm(nn.Module):
    """Group norm whose scale and shift come from the latent embedding (AdaGN).

    scale, shift = Dense(emb), whose bias starts at (1, 0): at first it is a plain group norm.
    """

    equalized: bool = False
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, emb: Array) -> Array:
        """X [B, H, W, C], emb [B, E] -> [B, H, W, C]."""
        style = dense(
            2 * x.shape[-1],
            equalized=self.equalized,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            bias_init=_one_then_zero,
            name="style",
        )(emb)
        scale, shift = jnp.split(style[:, None, None, :], 2, axis=-1)
        normed = GroupNorm(
            affine=False, dtype=self.dtype, param_dtype=self.param_dtype, name="norm"
        )(x)
        return scale * normed + shift


class Attention(nn.Module):
    """Single-head self-attention over all positions, residual sum; softmax in float32.

    `groups`: of the norm, see `GroupNorm`. `rescale`: divide the sum by sqrt 2.
    """

    groups: int = 0
    rescale: bool = True
    equalized: bool = False
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, H, W, C] -> [B, H, W, C]."""
        batch, height, width, channels = x.shape
        kwargs: dict[str, Any] = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        h = GroupNorm(groups=self.groups, name="norm", **kwargs)(x)
        h = h.reshape(batch, height * width, channels)
        kwargs["equalized"] = self.equalized
        q, k, v = (dense(channels, scale=0.1, name=name, **kwargs)(h) for name in "qkv")
        logits = jnp.einsum("bic,bjc->bij", q, k).astype(jnp.float32) * channels**-0.5
        weights = jax.nn.softmax(logits, axis=-1).astype(self.dtype)
        h = jnp.einsum("bij,bjc->bic", weights, v)
        h = dense(channels, scale=NEAR_ZERO, name="out", **kwargs)(h)
        h = x + h.reshape(x.shape)
        return h * SQRT_HALF if self.rescale else h


def minibatch_stddev(x: Array, group_size: int = 4) -> Array:
    """Append one channel: the mean standard deviation over groups of samples (Karras et al. 2018).

    x [B, ..., C] -> [B, ..., C + 1]. Groups of g = min(B, group_size); samples i and j share one
    when i = j mod B/g. Float32 inside.

    Raises:
      ValueError: g does not divide B.
    """
    batch = x.shape[0]
    group = min(batch, group_size)
    if batch % group:
        raise ValueError(f"minibatch stddev needs a batch divisible by {group}, got {batch}")
    grouped = x.astype(jnp.float32).reshape((group, batch // group, *x.shape[1:]))
    stddev = jnp.sqrt(jnp.var(grouped, axis=0) + 1e-8).mean(axis=tuple(range(1, x.ndim)))
    channel = jnp.tile(stddev, group).astype(x.dtype).reshape((batch,) + (1,) * (x.ndim - 1))
    return jnp.concatenate([x, jnp.broadcast_to(channel, (*x.shape[:-1], 1))], axis=-1)
