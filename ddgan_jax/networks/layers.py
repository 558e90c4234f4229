"""Layers shared by the networks: initialization, embeddings, norms, attention.

Parameters are float32 in every network, and so are its outputs. Layers are computed in the module's
`dtype`; statistics of norms, softmax, sinusoidal embeddings and the last dense layer of a
discriminator are computed in float32 for every `dtype`.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ddgan_jax.core.types import Array, Shape
from ddgan_jax.networks.embedding import Embedding
from ddgan_jax.networks.group_norm import group_norm

Dtype = Any  # anything that jnp.dtype accepts
SQRT_HALF = math.sqrt(0.5)
BATCH_STATS = "batch_stats"  # Flax's name of the collection of batch norms
NEAR_ZERO = 1e-10  # variance scale of layers that start near zero but still pass gradients


def full_precision(dtype: Dtype) -> Any:
    """float32, or `dtype` if that is wider."""
    return dtype if jnp.dtype(dtype).itemsize > 4 else jnp.float32


def init_scale(scale: float) -> nn.initializers.Initializer:
    """Uniform variance scaling over the average of fan in and fan out, with variance `scale`."""
    return nn.initializers.variance_scaling(scale, "fan_avg", "uniform")


def _scaled(multiply: Callable[..., Array]) -> Callable[..., Array]:
    """Make `multiply`, a product of input and kernel [..., in, out], use kernel / sqrt(fan in)."""

    def scaled(x: Array, kernel: Array, *args: Any, **kwargs: Any) -> Array:
        return multiply(x, kernel * math.prod(kernel.shape[:-1]) ** -0.5, *args, **kwargs)

    return scaled


_scaled_dot = _scaled(jax.lax.dot_general)


class Conv(nn.Module):
    """A convolution; its parameters are those of `nn.Conv`.

    Attributes:
      features: number of output channels.
      kernel: size of the square kernel.
      scale, equalized: see `conv`.
      strides: stride along both axes.
      padding: "SAME", "VALID" or numbers of zeros before and after, for each axis.
      feature_group_count: groups of channels that are not mixed.
      use_bias: whether it has a bias.
      dtype: compute dtype.
    """

    features: int
    kernel: int
    scale: float = 1.0
    equalized: bool = False
    strides: int = 1
    padding: Any = "SAME"
    feature_group_count: int = 1
    use_bias: bool = True
    dtype: Dtype = jnp.float32

    @nn.compact
    def linear(self, x: Array, gain: float = 1.0) -> tuple[Array, Array | None]:
        """The convolution without its bias, and the bias, both times `gain`.

        Factors are applied to the weights, so they cost no pass over the features.

        Args:
          x: [B, H, W, C].
          gain: factor.

        Returns:
          [B, H', W', features] in `dtype`, and float32 [features] or None.
        """
        initial = nn.initializers.normal(self.scale**0.5)
        shape = (self.kernel, self.kernel, x.shape[-1] // self.feature_group_count, self.features)
        kernel = self.param("kernel", initial if self.equalized else init_scale(self.scale), shape)
        bias = self.param("bias", nn.initializers.zeros, shape[-1:]) if self.use_bias else None
        factor = gain * math.prod(shape[:-1]) ** -0.5 if self.equalized else gain
        if factor != 1:
            kernel = kernel * factor
        y = jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            (self.strides, self.strides),
            self.padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=self.feature_group_count,
        )
        return y, bias if bias is None or gain == 1 else bias * gain

    def __call__(self, x: Array, gain: float = 1.0) -> Array:
        """Features [B, H', W', features] of x [B, H, W, C], times `gain`."""
        y, bias = self.linear(x, gain)
        return y if bias is None else y + bias.astype(self.dtype)


def conv(
    features: int,
    kernel: int,
    *,
    scale: float = 1.0,
    equalized: bool = False,
    dtype: Dtype,
    **kwargs: Any,
) -> Conv:
    """A convolution with a square kernel and the initialization of this family of networks.

    Args:
      features: number of output channels.
      kernel: size of the kernel.
      scale: variance of the initialization.
      equalized: equalized learning rate (Karras et al. 2018): weights start as N(0, scale) and are
        multiplied by 1 / sqrt(fan in) when they are used, so that Adam's steps have the same
        relative size in all layers.
      dtype: compute dtype.
      **kwargs: further attributes of `Conv`; padding is "SAME" by default.
    """
    return Conv(features, kernel, scale, equalized, dtype=dtype, **kwargs)


def dense(
    features: int,
    *,
    scale: float = 1.0,
    equalized: bool = False,
    dtype: Dtype,
    **kwargs: Any,
) -> nn.Dense:
    """A dense layer with the initialization of this family; arguments as in `conv`."""
    if equalized:
        kwargs["dot_general"] = _scaled_dot
    return nn.Dense(
        features,
        kernel_init=nn.initializers.normal(scale**0.5) if equalized else init_scale(scale),
        dtype=dtype,
        **kwargs,
    )


def sinusoidal_embedding(t: Array, width: int) -> Array:
    """Embed times: sines, then cosines, zero-padded if `width` is odd (Vaswani et al. 2017).

    Frequencies are exp(-ln(10000) k / (half - 1)), k = 0..half-1, half = width // 2.

    Args:
      t: int32 [B].
      width: size of the embedding.

    Returns:
      float32 [B, width].
    """
    half = width // 2
    frequencies = jnp.exp(
        -math.log(10000.0) / max(half - 1, 1) * jnp.arange(half, dtype=jnp.float32)
    )
    angles = t.astype(jnp.float32)[:, None] * frequencies[None, :]
    embedding = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return jnp.pad(embedding, ((0, 0), (0, width % 2)))


def with_coordinates(x: Array) -> Array:
    """Append two channels, each pixel's row and column from -1 to 1: [B, H, W, C + 2]."""
    axes = (jnp.linspace(-1, 1, size, dtype=x.dtype) for size in x.shape[1:3])
    grid = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1)
    return jnp.concatenate([x, jnp.broadcast_to(grid, (x.shape[0], *grid.shape))], axis=-1)


def normalize_latent(z: Array) -> Array:
    """Pixel norm: divide z by sqrt(mean(z^2) + 1e-8) over the last axis."""
    return z * jax.lax.rsqrt(jnp.mean(jnp.square(z), axis=-1, keepdims=True) + 1e-8)


def group_count(channels: int) -> int:
    """Default number of groups: the largest divisor of C that is at most min(C // 4, 32)."""
    groups = max(min(channels // 4, 32), 1)
    while channels % groups:
        groups -= 1
    return groups


class _Affine(nn.Module):
    """Scale and bias of each channel, float32 [C]."""

    @nn.compact
    def __call__(self, channels: int) -> tuple[Array, Array]:
        """The two parameters, which start as ones and zeros."""
        scale: Array = self.param("scale", nn.initializers.ones, (channels,))
        bias: Array = self.param("bias", nn.initializers.zeros, (channels,))
        return scale, bias


class GroupNorm(nn.Module):
    """Group norm with epsilon 1e-6, and optionally SiLU; see `group_norm.group_norm`.

    Attributes:
      affine: whether it has a learned scale and bias.
      groups: number of groups; 0: `group_count` of the channels.
      silu: whether SiLU follows.
      dtype: dtype of the result.
    """

    affine: bool = True
    groups: int = 0
    silu: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, offset: Array | None = None) -> Array:
        """[SiLU of] scale * normalize(x + offset) + shift, of x [B, ..., C] and offset [B, C]."""
        scale, shift = _Affine(name="norm")(x.shape[-1]) if self.affine else (None, None)
        groups = self.groups or group_count(x.shape[-1])
        h = group_norm(x, groups, scale=scale, shift=shift, offset=offset, silu=self.silu)
        return h.astype(self.dtype)


def one_then_zero(key: Array, shape: Shape, dtype: Dtype = jnp.float32) -> Array:
    """Initialize the bias of a layer that predicts scales and shifts: ones, then zeros."""
    del key
    half = shape[0] // 2
    return jnp.concatenate([jnp.ones(half, dtype), jnp.zeros(shape[0] - half, dtype)])


class AdaptiveGroupNorm(nn.Module):
    """Group norm with scale and shift predicted from the latent embedding (AdaGN).

    The bias of the predicting dense layer starts at scale 1 and shift 0.

    Attributes:
      silu: whether SiLU follows.
      equalized: equalized learning rate, see `conv`.
      dtype: compute dtype.
    """

    silu: bool = False
    equalized: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, emb: Embedding, offset: Array | None = None) -> Array:
        """[SiLU of] scale * normalize(x + offset) + shift.

        Args:
          x: [B, H, W, C].
          emb: embedding [B, E].
          offset: [B, C]; None: 0.

        Returns:
          [B, H, W, C].
        """
        style = dense(
            2 * x.shape[-1],
            equalized=self.equalized,
            dtype=self.dtype,
            bias_init=one_then_zero,
            name="style",
        )
        scale, shift = jnp.split(emb.through(style), 2, axis=-1)
        groups = group_count(x.shape[-1])
        h = group_norm(x, groups, scale=scale, shift=shift, offset=offset, silu=self.silu)
        return h.astype(self.dtype)


class _Projection(nn.Module):
    """Kernel [C, C] and bias [C] of a dense layer, in float32 at least; see `dense`."""

    scale: float
    equalized: bool
    dtype: Dtype

    @nn.compact
    def __call__(self, channels: int) -> tuple[Array, Array]:
        initial = nn.initializers.normal(self.scale**0.5)
        initial = initial if self.equalized else init_scale(self.scale)
        kernel = self.param("kernel", initial, (channels, channels))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        if self.equalized:
            kernel = kernel * channels**-0.5
        wide = full_precision(self.dtype)
        return kernel.astype(wide), bias.astype(wide)


class Attention(nn.Module):
    """Single-head self-attention over all positions, with a residual sum; softmax in float32.

    Let h = norm(x), and let q, k, v and out be the published projections x W + b. Then

      y = x + out(softmax(q(h) k(h)^T / sqrt C) v(h))
        = x + softmax((h Wq Wk^T + bq Wk^T) h^T / sqrt C) h Wv Wout + bv Wout + bout

    since rows of the softmax sum to 1 and do not change by bk, which adds the same to all logits of
    a row. The second form has two products with all positions instead of four. The products of
    weights are those of C x C matrices.

    Attributes:
      groups: number of groups of the norm, see `GroupNorm`.
      rescale: whether the sum is divided by sqrt 2.
      scale: of the variance of the initial weights of queries, keys and values.
      equalized: equalized learning rate, see `conv`.
      dtype: compute dtype.
    """

    groups: int = 0
    rescale: bool = True
    scale: float = 0.1
    equalized: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Features [B, H, W, C] of x [B, H, W, C]."""
        batch, height, width, channels = x.shape

        def projection(name: str, scale: float) -> tuple[Array, Array]:
            result: tuple[Array, Array]
            result = _Projection(scale, self.equalized, self.dtype, name=name)(channels)
            return result

        (q, q_bias), (k, _), (v, v_bias) = (projection(name, self.scale) for name in "qkv")
        out, out_bias = projection("out", NEAR_ZERO)
        multiply = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
        to_query, query_bias = multiply(q, k.T), multiply(q_bias, k.T)
        to_result, result_bias = multiply(v, out), multiply(v_bias, out) + out_bias

        h = GroupNorm(groups=self.groups, dtype=self.dtype, name="norm")(x)
        h = h.reshape(batch, height * width, channels)
        query = h @ to_query.astype(self.dtype) + query_bias.astype(self.dtype)
        logits = jnp.einsum("bic,bjc->bij", query, h).astype(jnp.float32) * channels**-0.5
        weights = jax.nn.softmax(logits, axis=-1).astype(self.dtype)
        h = jnp.einsum("bij,bjc->bic", weights, h)
        h = h @ to_result.astype(self.dtype) + result_bias.astype(self.dtype)
        h = x + h.reshape(x.shape)
        return h * SQRT_HALF if self.rescale else h


def batch_norm(x: Array, train: bool, dtype: Dtype, name: str) -> Array:
    """`nn.BatchNorm` of x [B, H, W, C] in float32 at least, as `dtype`; for a compact module.

    In training it normalizes by the batch, and leaves the batch's own mean and variance in the
    collection `BATCH_STATS`, which is mutable then: running averages of them are the caller's. In
    sampling it normalizes by those in the collection.
    """
    full = full_precision(dtype)
    norm = nn.BatchNorm(use_running_average=not train, momentum=0.0, dtype=full, name=name)
    normalized: Array = norm(x.astype(full)).astype(dtype)
    return normalized


def minibatch_stddev(x: Array, group_size: int = 4) -> Array:
    """Append one channel: the mean standard deviation over groups of samples (Karras et al. 2018).

    Groups have g = min(B, group_size) samples; samples i and j are in the same group if
    i = j mod B/g. The deviation is computed in float32 at least.

    Args:
      x: [B, ..., C].
      group_size: largest size of a group.

    Returns:
      [B, ..., C + 1], in x's dtype.

    Raises:
      ValueError: g does not divide B.
    """
    batch = x.shape[0]
    group = min(batch, group_size)
    if batch % group:
        raise ValueError(f"minibatch stddev needs a batch divisible by {group}, got {batch}")
    grouped = x.astype(full_precision(x.dtype)).reshape((group, batch // group, *x.shape[1:]))
    stddev = jnp.sqrt(jnp.var(grouped, axis=0) + 1e-8).mean(axis=tuple(range(1, x.ndim)))
    channel = jnp.tile(stddev, group).astype(x.dtype).reshape((batch,) + (1,) * (x.ndim - 1))
    return jnp.concatenate([x, jnp.broadcast_to(channel, (*x.shape[:-1], 1))], axis=-1)
