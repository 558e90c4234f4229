"""The discriminator of Projected GAN (Sauer et al. 2021, arXiv 2111.01007), after its features.

Feature maps of a frozen network are mixed by fixed random convolutions, across channels and then
across resolutions, and each of the results has a small discriminator.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from ddgan_jax.core.types import Array
from ddgan_jax.networks.entry import Network
from ddgan_jax.networks.layers import Dtype, batch_norm
from ddgan_jax.networks.spectral_norm import SpectralConv, uniform

MULTIPLIERS = (1, 2, 4, 8)  # channels of a level after mixing, as multiples of the width


def enlarged(x: Array) -> Array:
    """x [B, H, W, C] at twice the resolution, bilinear; corners stay corners."""
    for axis in (1, 2):
        matrix = jnp.asarray(_enlarging(x.shape[axis]), x.dtype)
        x = jnp.moveaxis(jnp.tensordot(matrix, x, axes=(1, axis)), 0, axis)
    return x


def _enlarging(size: int) -> np.ndarray:
    """The matrix [2 size, size] of linear interpolation, with both ends kept."""
    position = np.linspace(0, size - 1, 2 * size)
    low = np.minimum(position.astype(int), max(size - 2, 0))
    share = position - low
    matrix = np.zeros((2 * size, size))
    rows = np.arange(2 * size)
    matrix[rows, low] = 1 - share
    matrix[rows, np.minimum(low + 1, size - 1)] += share
    return matrix


class FixedConv(nn.Module):
    """A 1x1 convolution that starts as PyTorch's; it stays so, because nothing trains it."""

    features: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[B, H, W, features] of x [B, H, W, C]."""
        initial = uniform(x.shape[-1])
        kernel = self.param("kernel", initial, (x.shape[-1], self.features))
        bias = self.param("bias", initial, (self.features,))
        return x.astype(self.dtype) @ kernel.astype(self.dtype) + bias.astype(self.dtype)


class Mixing(nn.Module):
    """Random projections of feature maps: across channels, then from low to high resolution.

    Attributes:
      width: channels of the level of the highest resolution; those of the others are multiples.
      dtype: compute dtype.
    """

    width: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, levels: Sequence[Array]) -> tuple[Array, ...]:
        """Levels of width * (1, 1, 2, 4) channels at twice the resolution of the given ones."""
        kwargs: dict[str, Any] = dict(dtype=self.dtype)
        mixed = [
            FixedConv(self.width * multiplier, name=f"channels_{i}", **kwargs)(x)
            for i, (multiplier, x) in enumerate(zip(MULTIPLIERS, levels, strict=True))
        ]
        outputs: list[Array] = []
        for i in reversed(range(len(mixed))):
            x = mixed[i] + outputs[-1] if outputs else mixed[i]
            features = x.shape[-1] // 2 if i else x.shape[-1]
            outputs.append(FixedConv(features, name=f"scales_{i}", **kwargs)(enlarged(x)))
        return tuple(reversed(outputs))


class Head(nn.Module):
    """The discriminator of one level: halving convolutions, and one that scores patches.

    Attributes:
      features: channels of each halving convolution.
      dtype: compute dtype.
    """

    features: tuple[int, ...]
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Logits of patches, float32 [B, N], of features [B, H, W, C]."""
        for i, features in enumerate(self.features):
            conv = SpectralConv(
                features, 4, 2, 1, use_bias=True, dtype=self.dtype, name=f"conv_{i}"
            )
            x = nn.leaky_relu(batch_norm(conv(x), True, self.dtype, f"norm_{i}"), 0.2)
        logits = SpectralConv(1, 4, dtype=self.dtype, name="logits")(x)
        return logits.reshape(len(x), -1).astype(jnp.float32)


class MultiScaleDiscriminator(nn.Module):
    """Discriminators of all levels that `Mixing` returns.

    All of them end at a 32nd of the image's resolution, which is at least 4. Their batch norms
    always normalize by the batch.

    Attributes:
      width: that of `Mixing`; channels are width * (1, 1, 2, 4, 8) from the highest resolution on.
      dtype: compute dtype.
    """

    width: int = 64
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, levels: Sequence[Array]) -> Array:
        """Logits of all patches of all levels, float32 [B, N]."""
        halved = tuple(self.width * multiplier for multiplier in MULTIPLIERS)
        logits = [Head(halved[i:], self.dtype, name=f"head_{i}")(x) for i, x in enumerate(levels)]
        return jnp.concatenate(logits, axis=1)


DISCRIMINATOR = Network(MultiScaleDiscriminator)
