"""Layers of StyleGAN2: equalized layers, modulated convolution, mapping network.

Karras et al. 2020, arXiv 1912.04958. All weights start as N(0, 1) divided by the layer's learning
rate multiplier, and are scaled when they are used (equalized learning rate), except where
demodulation normalizes them. The filter of all resampling is (1, 3, 3, 1), see `resample`.

Activations of convolutions are computed in `dtype`; styles, demodulation, the mapping network and
sums of images in `full_precision(dtype)`.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from ddgan_jax.core.types import Array
from ddgan_jax.networks import resample
from ddgan_jax.networks.layers import Dtype, normalize_latent

ARCHITECTURES = ("orig", "skip", "resnet")
_NHWC = ("NHWC", "HWIO", "NHWC")


def activation(x: Array, gain: float = 1.0) -> Array:
    """Leaky ReLU with slope 0.2, times sqrt 2 and `gain`."""
    return nn.leaky_relu(x, 0.2) * (math.sqrt(2) * gain)


def channels_at(resolution: int, base: int, largest: int) -> int:
    """Channels at a resolution: min(base / resolution, largest)."""
    return min(base // resolution, largest)


def resolutions_up_to(resolution: int) -> tuple[int, ...]:
    """4, 8, ..., resolution."""
    return tuple(2**i for i in range(2, resolution.bit_length()))


class EqualizedDense(nn.Module):
    """y = m (x W / sqrt(fan in) + b), W starting as N(0, 1) / m.

    Attributes:
      features: size of the output.
      multiplier: m, multiplies the learning rate.
      bias: start of b.
      dtype: compute dtype.
    """

    features: int
    multiplier: float = 1.0
    bias: float = 0.0
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map x [..., in] to [..., features]."""
        fan_in = x.shape[-1]
        start = nn.initializers.normal(1 / self.multiplier)
        kernel = self.param("kernel", start, (fan_in, self.features))
        bias = self.param("bias", nn.initializers.constant(self.bias), (self.features,))
        kernel = kernel.astype(self.dtype) * (self.multiplier * fan_in**-0.5)
        y: Array = x.astype(self.dtype) @ kernel + bias.astype(self.dtype) * self.multiplier
        return y


class EqualizedConv(nn.Module):
    """A convolution with zero padding: optionally halves the resolution, after the filter.

    Attributes:
      features: number of output channels.
      kernel: size of the kernel, 1 or 3.
      down: whether it halves the resolution.
      use_bias: whether it has a bias.
      dtype: compute dtype.
    """

    features: int
    kernel: int
    down: bool = False
    use_bias: bool = True
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Features [B, H or H/2, W or W/2, F] of x [B, H, W, C]."""
        size, stride, padding = self.kernel, (1, 1), "SAME"
        shape = (size, size, x.shape[-1], self.features)
        weight = self.param("kernel", nn.initializers.normal(1.0), shape)
        weight = weight.astype(self.dtype) * math.prod(shape[:-1]) ** -0.5
        x = x.astype(self.dtype)
        if self.down and size == 1:
            x = resample.downsample(x)
        elif self.down:
            x, stride, padding = resample.blur(x), (2, 2), "VALID"
        x = jax.lax.conv_general_dilated(x, weight, stride, padding, dimension_numbers=_NHWC)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,))
            x = x + bias.astype(self.dtype)
        return x


def transposed_conv(x: Array, kernel: Array) -> Array:
    """Transposed convolution of stride 2, y[2i + k] += x[i] kernel[k] along each axis.

    Args:
      x: [B, H, W, C].
      kernel: [3, 3, C, F].

    Returns:
      [B, 2H + 1, 2W + 1, F].
    """
    flipped = kernel[::-1, ::-1]
    y: Array = jax.lax.conv_general_dilated(
        x, flipped, (1, 1), [(2, 2)] * 2, lhs_dilation=(2, 2), dimension_numbers=_NHWC
    )
    return y


def modulated_conv(
    x: Array, style: Array, kernel: Array, *, demodulate: bool = True, up: bool = False
) -> Array:
    """Convolution whose weights are scaled per sample and input channel by a style.

    The weights of sample b are w[k, i, o] s[b, i], and with demodulation

      w[k, i, o] s[b, i] / sqrt(sum_{k, i} (w[k, i, o] s[b, i])^2 + 1e-8).

    Both factors are applied to the activations, before and after one convolution that all samples
    share. The published code convolves with different weights for each sample (groups), which is
    slow on CPU and TPU.

    Args:
      x: [B, H, W, C], in the compute dtype.
      style: float32 [B, C].
      kernel: float32 [k, k, C, F].
      demodulate: whether the weights are normalized.
      up: double the resolution: a transposed convolution, then the filter.

    Returns:
      [B, H or 2H, W or 2W, F] in x's dtype.
    """
    y, weight = x * style[:, None, None, :].astype(x.dtype), kernel.astype(x.dtype)
    if up:
        y = transposed_conv(y, weight)
    else:
        y = jax.lax.conv_general_dilated(y, weight, (1, 1), "SAME", dimension_numbers=_NHWC)
    if demodulate:
        energy = jnp.square(style) @ jnp.sum(jnp.square(kernel), axis=(0, 1))
        y = y * jax.lax.rsqrt(energy + 1e-8)[:, None, None, :].astype(x.dtype)
    return resample.smooth(y) if up else y


class MappingNetwork(nn.Module):
    """The mapping network: latent and condition -> w.

    z / rms(z) and, with a condition, its embedding divided by its rms, then dense layers with
    leaky ReLU.

    Attributes:
      features: size of w and of the embedding.
      layers: number of dense layers after the embedding.
      multiplier: multiplies their learning rate.
      dtype: compute dtype.
    """

    features: int
    layers: int
    multiplier: float = 0.01
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, z: Array | None, condition: Array | None) -> Array:
        """w [..., features] of z [..., Z] and condition [..., C], of which one may be None."""
        parts = [] if z is None else [normalize_latent(z.astype(self.dtype))]
        if condition is not None:
            embed = EqualizedDense(self.features, dtype=self.dtype, name="embed")
            parts.append(normalize_latent(embed(condition)))
        w = jnp.concatenate(parts, axis=-1)
        for i in range(self.layers):
            dense = EqualizedDense(self.features, self.multiplier, dtype=self.dtype, name=f"fc{i}")
            w = activation(dense(w))
        return w
