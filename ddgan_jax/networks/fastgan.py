"""The generator of FastGAN (Liu et al. 2021, arXiv 2101.04775) as Projected GAN uses it.

Upsampling blocks with gated linear units, batch norm and noise; blocks from 64x64 on are scaled
channel by channel by features of a resolution 16 times smaller (skip-layer excitation).
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ddgan_jax.core.types import Array, Shape
from ddgan_jax.networks.entry import Network, fits_powers_of_two, square_images
from ddgan_jax.networks.layers import Dtype, batch_norm, normalize_latent
from ddgan_jax.networks.resample import repeated
from ddgan_jax.networks.spectral_norm import SpectralConv, spectral_norm, uniform

# Channels at a resolution, as multiples of `width`.
MULTIPLIERS = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 0.5, 512: 0.25, 1024: 0.125}
# The resolution whose features scale those of a higher one.
EXCITED_BY = {64: 4, 128: 8, 256: 16, 512: 32}


def gated(x: Array) -> Array:
    """Gated linear unit: the first half of the channels times the sigmoid of the second."""
    x, gate = jnp.split(x, 2, axis=-1)
    return x * jax.nn.sigmoid(gate)


class NoiseInjection(nn.Module):
    """Adds a learned multiple, 0 at first, of one noise image to all channels."""

    @nn.compact
    def __call__(self, x: Array, noise: Array) -> Array:
        """x [B, H, W, C] plus weight * noise [B, H, W]."""
        weight = self.param("weight", nn.initializers.zeros, (1,))
        return x + (weight * noise[..., None]).astype(x.dtype)


class UpBlock(nn.Module):
    """Upsampling, then (convolution, noise, batch norm, gate) twice; *lite*: once, without noise.

    Attributes:
      features: number of output channels.
      lite: see above.
      dtype: compute dtype.
    """

    features: int
    lite: bool
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, noise: Sequence[Array], train: bool) -> Array:
        """[B, 2H, 2W, features] of x [B, H, W, C] and two noise images [B, 2H, 2W], or none."""
        x = repeated(x)
        for i in range(1 if self.lite else 2):
            conv = SpectralConv(2 * self.features, 3, padding=1, dtype=self.dtype, name=f"conv_{i}")
            x = conv(x)
            if not self.lite:
                x = NoiseInjection(name=f"noise_{i}")(x, noise[i])
            x = gated(batch_norm(x, train, self.dtype, f"norm_{i}"))
        return x


class Excitation(nn.Module):
    """Scales every channel by a function of features of a lower resolution."""

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, low: Array, x: Array) -> Array:
        """x [B, H, W, C] times factors in (0, 1) of `low` [B, 4k, 4k, D]."""
        count, size, _, channels = low.shape
        pooled = low.reshape(count, 4, size // 4, 4, size // 4, channels).mean((2, 4))
        scale = nn.silu(SpectralConv(x.shape[-1], 4, dtype=self.dtype, name="conv_0")(pooled))
        scale = SpectralConv(x.shape[-1], 1, dtype=self.dtype, name="conv_1")(scale)
        return x * jax.nn.sigmoid(scale)


class FirstLayer(nn.Module):
    """A transposed convolution of one pixel to 4x4, spectrally normalized, without bias.

    As PyTorch's, its kernel starts uniform in +-1 / sqrt(16 features), and its spectral norm is
    that of the matrix [16 Z, features].

    Attributes:
      features: number of output channels.
      dtype: compute dtype.
    """

    features: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, z: Array) -> Array:
        """[B, 4, 4, features] of z [B, Z]."""
        shape = (4, 4, z.shape[-1], self.features)
        kernel = self.param("kernel", uniform(16 * self.features), shape)
        kernel = (kernel / spectral_norm(kernel)).astype(self.dtype)
        return jnp.einsum("bz,hwzf->bhwf", z.astype(self.dtype), kernel)


class FastGAN(nn.Module):
    """The generator: z, brought to unit mean square, to an image.

    Attributes:
      channels, resolution: of the images, which are square.
      width: channels at 128x128; those of other resolutions are multiples, see `MULTIPLIERS`.
      lite: blocks of one convolution instead of two, without noise.
      dtype: compute dtype.
    """

    channels: int
    resolution: int
    width: int = 128
    lite: bool = False
    dtype: Dtype = jnp.float32

    @property
    def resolutions(self) -> tuple[int, ...]:
        """The resolutions of the upsampling blocks."""
        return tuple(r for r in MULTIPLIERS if 4 < r <= self.resolution)

    @property
    def noise_sizes(self) -> tuple[int, ...]:
        """Height and width of each noise image."""
        return () if self.lite else tuple(r for r in self.resolutions for _ in range(2))

    @nn.compact
    def __call__(self, z: Array, noise: Sequence[Array], train: bool = False) -> Array:
        """Images, not bounded.

        Args:
          z: float32 [B, Z].
          noise: float32 [B, r, r] for each r of `noise_sizes`.
          train: whether batch norms use the statistics of the batch.

        Returns:
          float32 [B, H, W, channels].
        """
        kwargs: dict[str, Any] = dict(dtype=self.dtype)
        z = normalize_latent(z)
        x = FirstLayer(2 * channels_at(4, self.width), name="first", **kwargs)(z)
        x = gated(batch_norm(x, train, self.dtype, "first_norm"))
        features = {4: x}
        for i, resolution in enumerate(self.resolutions):
            block = UpBlock(
                channels_at(resolution, self.width), self.lite, name=f"b{resolution}", **kwargs
            )
            x = block(x, noise[2 * i : 2 * i + 2], train)
            if low := EXCITED_BY.get(resolution):
                x = Excitation(name=f"excitation_{resolution}", **kwargs)(features[low], x)
            features[resolution] = x
        image = SpectralConv(self.channels, 3, padding=1, use_bias=True, name="to_image", **kwargs)(
            x
        )
        return image.astype(jnp.float32)


def channels_at(resolution: int, width: int) -> int:
    """Channels at a resolution."""
    return int(MULTIPLIERS[resolution] * width)


def fits(module: Any, shape: Shape) -> str:
    """`Network.fits`: square images of 8, 16, ..., 1024 pixels, with channels at all of them."""
    if problem := fits_powers_of_two(module, shape):
        return problem
    size, largest = shape[0], max(MULTIPLIERS)
    if size > largest:
        return f"makes images of at most {largest}x{largest} pixels, not {size}x{size}"
    if channels_at(size, module.width) < 1:
        least = round(1 / MULTIPLIERS[size])
        return f"has width {module.width}; at least {least} is needed at {size} pixels"
    return ""


GENERATOR = Network(FastGAN, square_images, fits=fits)
