"""Convolutional autoencoder of VQGAN and latent diffusion (Esser et al. 2021, Rombach et al. 2022).

The image becomes a small grid of latents; each level after the first halves it. The encoder may
give a mean and a log-variance, and the latents may be replaced by the nearest of a few codes, on
the way back to the image: what a diffusion in the latents sees is continuous in all cases.
"""

import math
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from ddgan_jax.core.types import Array
from ddgan_jax.networks.entry import Network, channels_of, fits_images
from ddgan_jax.networks.layers import Attention, Dtype, GroupNorm, conv, dense, group_count
from ddgan_jax.networks.mlp import Trunk


def norm_groups(channels: int) -> int:
    """32 as published; `group_count` where 32 does not divide the channels of a small network."""
    return group_count(channels) if channels % 32 else 32


def _norm(x: Array, name: str, **kwargs: Any) -> Array:
    return GroupNorm(groups=norm_groups(x.shape[-1]), name=name, **kwargs)(x)


class Block(nn.Module):
    """Norm, SiLU, conv, norm, SiLU, conv; 1x1 shortcut where the width changes; plain sum."""

    features: int
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x [B, H, W, C] -> [B, H, W, features]."""
        kwargs = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        h = conv(self.features, 3, name="conv_0", **kwargs)(nn.silu(_norm(x, "norm_0", **kwargs)))
        h = conv(self.features, 3, name="conv_1", **kwargs)(nn.silu(_norm(h, "norm_1", **kwargs)))
        if x.shape[-1] != self.features:
            x = conv(self.features, 1, name="shortcut", **kwargs)(x)
        return x + h


def _attention(x: Array, name: str, **kwargs: Any) -> Array:
    groups = norm_groups(x.shape[-1])
    return Attention(groups=groups, rescale=False, name=name, **kwargs)(x)


def _middle(h: Array, **kwargs: Any) -> Array:
    h = Block(h.shape[-1], name="mid_block_0", **kwargs)(h)
    h = _attention(h, "mid_attention", **kwargs)
    return Block(h.shape[-1], name="mid_block_1", **kwargs)(h)


class Encoder(nn.Module):
    """Image [B, H, W, C] -> [B, H / f, W / f, outputs], f = 2^(levels - 1)."""

    outputs: int
    width: int
    multipliers: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """As the class says."""
        kwargs = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        h = conv(self.width, 3, name="conv_in", **kwargs)(x.astype(self.dtype))
        for level, multiplier in enumerate(self.multipliers):
            for i in range(self.blocks):
                h = Block(self.width * multiplier, name=f"down_{level}_block_{i}", **kwargs)(h)
                if h.shape[1] in self.attention:
                    h = _attention(h, f"down_{level}_attention_{i}", **kwargs)
            if level < len(self.multipliers) - 1:
                h = conv(
                    *(h.shape[-1], 3),
                    strides=2,
                    padding=((0, 1), (0, 1)),
                    name=f"down_{level}_resample",
                    **kwargs,
                )(h)
        h = nn.silu(_norm(_middle(h, **kwargs), "norm_out", **kwargs))
        return conv(self.outputs, 3, name="conv_out", **kwargs)(h)


class Decoder(nn.Module):
    """[B, h, w, c] -> float32 image [B, h f, w f, channels]; one block a level more than encoding.

    `out` is the last layer: there the adaptive weight of the adversarial term is measured.
    """

    channels: int
    width: int
    multipliers: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, z: Array) -> Array:
        """As the class says."""
        kwargs = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        h = conv(self.width * self.multipliers[-1], 3, name="conv_in", **kwargs)(z)
        h = _middle(h, **kwargs)
        for level in reversed(range(len(self.multipliers))):
            for i in range(self.blocks + 1):
                features = self.width * self.multipliers[level]
                h = Block(features, name=f"up_{level}_block_{i}", **kwargs)(h)
                if h.shape[1] in self.attention:
                    h = _attention(h, f"up_{level}_attention_{i}", **kwargs)
            if level > 0:
                h = jnp.repeat(jnp.repeat(h, 2, axis=1), 2, axis=2)
                h = conv(h.shape[-1], 3, name=f"up_{level}_resample", **kwargs)(h)
        h = nn.silu(_norm(h, "norm_out", **kwargs))
        return conv(self.channels, 3, name="out", **kwargs)(h).astype(jnp.float32)


def _point_or_gaussian(h: Array, gaussian: bool) -> tuple[Array, Array | None]:
    """[..., c] -> (it, None), or [..., 2 c] -> (mean, log-variance within [-30, 20])."""
    if not gaussian:
        return h, None
    mean, log_variance = jnp.split(h, 2, axis=-1)
    return mean, jnp.clip(log_variance, -30.0, 20.0)


class Autoencoder(nn.Module):
    """Both ways; methods `encode`, `quantize`, `rebuild`, `decode`.

    Attributes:
      channels: of the image.
      width: channels at the finest level.
      multipliers: of `width`, one per level; f = 2^(levels - 1).
      blocks: residual blocks per level of the encoder; the decoder has one more.
      attention: resolutions (heights) that get attention; the middle always has one.
      latent_channels: of the latents.
      gaussian: the encoder gives a mean and a log-variance; else a point.
      codes: number of vectors that latents are rounded to before they are decoded; 0: none.
      tanh: output through tanh; else linear.
    """

    channels: int
    width: int
    multipliers: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    latent_channels: int
    gaussian: bool
    codes: int = 0
    tanh: bool = False
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    def setup(self) -> None:
        """The two halves, a 1x1 convolution on either side of the latents, the codes."""
        kwargs = dict(dtype=self.dtype, param_dtype=self.param_dtype)
        sizes: dict[str, Any] = dict(
            width=self.width,
            multipliers=self.multipliers,
            blocks=self.blocks,
            attention=self.attention,
            **kwargs,
        )
        outputs = self.latent_channels * (2 if self.gaussian else 1)
        self.encoder = Encoder(outputs, **sizes)
        self.decoder = Decoder(self.channels, **sizes)
        self.conv_latent = conv(outputs, 1, **kwargs)
        self.conv_code = conv(self.latent_channels, 1, **kwargs)
        if self.codes:
            init = nn.initializers.variance_scaling(1.0, "fan_in", "uniform", in_axis=0, out_axis=1)
            shape = (self.codes, self.latent_channels)
            self.codebook = self.param("codebook", init, shape, self.param_dtype)

    def __call__(self, x: Array) -> Array:
        """Image [B, H, W, C] -> its reconstruction; touches all parameters."""
        return self.decode(self.encode(x)[0])

    def encode(self, x: Array) -> tuple[Array, Array | None]:
        """Image [B, H, W, C] -> (latents, log-variance or None), float32 [B, H/f, W/f, c]."""
        h = self.conv_latent(self.encoder(x)).astype(jnp.float32)
        return _point_or_gaussian(h, self.gaussian)

    def latents_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the latents of an image of `shape`."""
        factor = 2 ** (len(self.multipliers) - 1)
        return (shape[0] // factor, shape[1] // factor, self.latent_channels)

    def quantize(self, z: Array) -> tuple[Array, Array]:
        """Latents [..., c] -> (nearest code, its index int32 [...]), by Euclidean distance."""
        distance = (
            jnp.sum(jnp.square(z), axis=-1, keepdims=True)
            - 2 * jnp.matmul(z, self.codebook.T, precision=jax.lax.Precision.HIGHEST)
            + jnp.sum(jnp.square(self.codebook), axis=-1)
        )
        index = jnp.argmin(distance, axis=-1)
        return self.codebook[index], index

    def rebuild(self, z: Array) -> Array:
        """Latents [B, h, w, c], quantised where there are codes -> image float32 [B, H, W, C]."""
        out = self.decoder(self.conv_code(z.astype(self.dtype)))
        return jnp.tanh(out) if self.tanh else out

    def decode(self, z: Array) -> Array:
        """Latents [B, h, w, c] -> image float32 [B, H, W, C]; quantises if there are codes."""
        return self.rebuild(self.quantize(z)[0] if self.codes else z)


class MLPEncoder(nn.Module):
    """Residual MLP: image -> [B, outputs]."""

    outputs: int
    width: int
    blocks: int
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """X [B, ...] -> float32 [B, outputs]."""
        flat = x.reshape(x.shape[0], -1).astype(self.dtype)
        trunk = Trunk(self.width, self.blocks, self.dtype, self.param_dtype, name="trunk")
        h = trunk(flat, jnp.ones((x.shape[0], 1), self.dtype))  # no time to tell it
        out = dense(self.outputs, dtype=jnp.float32, param_dtype=self.param_dtype, name="out")
        return out(h.astype(jnp.float32))


class MLPAutoencoder(nn.Module):
    """The same with residual MLPs for halves, for very small images; no codes.

    Attributes:
      shape: of one image.
      width, blocks: of both trunks.
      latent_shape: of the latents; any.
      gaussian, tanh: as in `Autoencoder`.
    """

    shape: tuple[int, ...]
    width: int
    blocks: int
    latent_shape: tuple[int, ...]
    gaussian: bool
    tanh: bool = False
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32
    codes: ClassVar[int] = 0

    def setup(self) -> None:
        """The two halves."""
        sizes: dict[str, Any] = dict(width=self.width, blocks=self.blocks, dtype=self.dtype)
        sizes["param_dtype"] = self.param_dtype
        outputs = math.prod(self.latent_shape) * (2 if self.gaussian else 1)
        self.encoder = MLPEncoder(outputs, **sizes)
        self.decoder = MLPEncoder(math.prod(self.shape), **sizes)

    def __call__(self, x: Array) -> Array:
        """As `Autoencoder`."""
        return self.decode(self.encode(x)[0])

    def latents_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """As `Autoencoder`."""
        del shape
        return tuple(self.latent_shape)

    def encode(self, x: Array) -> tuple[Array, Array | None]:
        """As `Autoencoder`."""
        *outer, channels = self.latent_shape
        h = self.encoder(x).reshape(x.shape[0], *outer, channels * (2 if self.gaussian else 1))
        return _point_or_gaussian(h, self.gaussian)

    def rebuild(self, z: Array) -> Array:
        """As `Autoencoder`."""
        out = self.decoder(z).reshape(z.shape[0], *self.shape)
        return jnp.tanh(out) if self.tanh else out

    def decode(self, z: Array) -> Array:
        """As `Autoencoder`."""
        return self.rebuild(z)


CONV_AUTOENCODER = Network(
    Autoencoder, channels_of, fits=fits_images(lambda module: len(module.multipliers) - 1)
)
MLP_AUTOENCODER = Network(MLPAutoencoder, lambda shape: {"shape": shape})
