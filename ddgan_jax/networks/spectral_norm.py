"""Spectral normalization (Miyato et al. 2018, arXiv 1802.05957) without state, and its layers."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ddgan_jax.core.types import Array
from ddgan_jax.networks.layers import Dtype

ITERATIONS = 8


def spectral_norm(kernel: Array, iterations: int = ITERATIONS) -> Array:
    """The largest singular value of a kernel [..., out] as a matrix [rest, out], from below.

    By power iteration from a fixed vector. The published layers do one iteration in each step, from
    the vector of the step before, which is state; several from a fixed one need none. The gradient
    is that of u W v with constant u and v, as published.
    """
    matrix = kernel.reshape(-1, kernel.shape[-1])
    fixed = jax.lax.stop_gradient(matrix)
    start = jnp.asarray(np.random.default_rng(0).standard_normal(matrix.shape[1]), kernel.dtype)

    def iteration(_: int, v: Array) -> Array:
        return _unit(_unit(fixed @ v) @ fixed)

    v = jax.lax.fori_loop(0, iterations, iteration, start)
    u = _unit(fixed @ v)
    norm: Array = u @ matrix @ v
    return norm


def _unit(x: Array) -> Array:
    return x / jnp.maximum(jnp.linalg.norm(x), 1e-12)


class SpectralConv(nn.Module):
    """A convolution whose kernel is divided by its spectral norm.

    Kernels and biases start uniform in +-1 / sqrt(fan in), as PyTorch's.

    Attributes:
      features: number of output channels.
      kernel: size of the square kernel.
      strides: stride along both axes.
      padding: zeros on each side.
      use_bias: whether it has a bias.
      dtype: compute dtype.
    """

    features: int
    kernel: int
    strides: int = 1
    padding: int = 0
    use_bias: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[B, H', W', features] of x [B, H, W, C]."""
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        initial = uniform(int(np.prod(shape[:-1])))
        kernel = self.param("kernel", initial, shape)
        kernel = kernel / spectral_norm(kernel)
        y = jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            (self.strides, self.strides),
            [(self.padding, self.padding)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        if self.use_bias:
            y = y + self.param("bias", initial, shape[-1:]).astype(self.dtype)
        return y


def uniform(fan_in: int) -> nn.initializers.Initializer:
    """Uniform in +-1 / sqrt(fan in), PyTorch's default for weights and biases."""
    bound = fan_in**-0.5

    def initial(key: Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return initial
