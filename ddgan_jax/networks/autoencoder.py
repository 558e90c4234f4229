"""Convolutional autoencoder of VQGAN and latent diffusion (Esser et al. 2021, Rombach et al. 2022).

The encoder maps an image to a smaller grid of latents; each level after the first halves the
resolution. Optionally the encoder predicts a mean and a log-variance, and the decoder first
replaces latents by their nearest codes. The latents are continuous in both cases, so a diffusion
model can be trained in them. `MLPAutoencoder` is the counterpart for very small images.
"""

import math
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from ddgan_jax.core.types import Array, Shape
from ddgan_jax.networks.entry import Network, channels_of, fits_images
from ddgan_jax.networks.layers import Attention, Dtype, GroupNorm, conv, dense, group_count
from ddgan_jax.networks.mlp import Trunk
from ddgan_jax.networks.resample import repeated


def norm_groups(channels: int) -> int:
    """Number of groups: 32 as published; `group_count` if 32 does not divide the channels."""
    return group_count(channels) if channels % 32 else 32


def _norm(x: Array, name: str, dtype: Dtype) -> Array:
    """Group norm and SiLU; for use within a compact module."""
    groups = norm_groups(x.shape[-1])
    normalized: Array = GroupNorm(groups=groups, silu=True, name=name, dtype=dtype)(x)
    return normalized


class Block(nn.Module):
    """Residual block: norm, SiLU, conv, norm, SiLU, dropout, conv.

    The shortcut is a 1x1 convolution if the number of channels changes.

    Attributes:
      features: number of output channels.
      dropout: dropout rate in training.
      dtype: compute dtype.
    """

    features: int
    dropout: float = 0.0
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Features [B, H, W, features] of x [B, H, W, C]."""
        features, dtype = self.features, self.dtype
        h = _norm(x, "norm_0", dtype)
        h = conv(features, 3, name="conv_0", dtype=dtype)(h)
        h = _norm(h, "norm_1", dtype)
        h = nn.Dropout(self.dropout, deterministic=not train)(h)
        h = conv(features, 3, name="conv_1", dtype=dtype)(h)
        if x.shape[-1] != features:
            x = conv(features, 1, name="shortcut", dtype=dtype)(x)
        return x + h


def _attention(x: Array, name: str, dtype: Dtype) -> Array:
    layer = Attention(groups=norm_groups(x.shape[-1]), rescale=False, name=name, dtype=dtype)
    attended: Array = layer(x)
    return attended


def _middle(h: Array, train: bool, dropout: float, dtype: Dtype) -> Array:
    h = Block(h.shape[-1], dropout, dtype, name="mid_block_0")(h, train)
    h = _attention(h, "mid_attention", dtype)
    result: Array = Block(h.shape[-1], dropout, dtype, name="mid_block_1")(h, train)
    return result


class Encoder(nn.Module):
    """Convolutional encoder.

    Attributes:
      outputs: number of output channels.
      width, multipliers, blocks, attention, dropout, dtype: see `Autoencoder`.
    """

    outputs: int
    width: int
    multipliers: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    dropout: float = 0.0
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Features [B, H/f, W/f, outputs] of images [B, H, W, C], f = 2^(levels - 1)."""
        dropout, dtype = self.dropout, self.dtype
        h: Array = conv(self.width, 3, name="conv_in", dtype=dtype)(x.astype(dtype))
        for level, multiplier in enumerate(self.multipliers):
            for i in range(self.blocks):
                features = self.width * multiplier
                h = Block(features, dropout, dtype, name=f"down_{level}_block_{i}")(h, train)
                if h.shape[1] in self.attention:
                    h = _attention(h, f"down_{level}_attention_{i}", dtype)
            if level < len(self.multipliers) - 1:
                halve = conv(
                    h.shape[-1],
                    3,
                    strides=2,
                    padding=((0, 1), (0, 1)),
                    name=f"down_{level}_resample",
                    dtype=dtype,
                )
                h = halve(h)
        h = _norm(_middle(h, train, dropout, dtype), "norm_out", dtype)
        h = conv(self.outputs, 3, name="conv_out", dtype=dtype)(h)
        return h


class Decoder(nn.Module):
    """Convolutional decoder, with one block per level more than the encoder.

    The adaptive weight of the adversarial loss is measured at its last layer, `out`.

    Attributes:
      channels: channels of the image.
      width, multipliers, blocks, attention, dropout, dtype: see `Autoencoder`.
    """

    channels: int
    width: int
    multipliers: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    dropout: float = 0.0
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, z: Array, train: bool) -> Array:
        """Images float32 [B, h f, w f, channels] of latents z [B, h, w, c], f = 2^(levels - 1)."""
        dropout, dtype = self.dropout, self.dtype
        h: Array = conv(self.width * self.multipliers[-1], 3, name="conv_in", dtype=dtype)(z)
        h = _middle(h, train, dropout, dtype)
        for level in reversed(range(len(self.multipliers))):
            for i in range(self.blocks + 1):
                features = self.width * self.multipliers[level]
                h = Block(features, dropout, dtype, name=f"up_{level}_block_{i}")(h, train)
                if h.shape[1] in self.attention:
                    h = _attention(h, f"up_{level}_attention_{i}", dtype)
            if level > 0:
                h = repeated(h)
                h = conv(h.shape[-1], 3, name=f"up_{level}_resample", dtype=dtype)(h)
        h = _norm(h, "norm_out", dtype)
        h = conv(self.channels, 3, name="out", dtype=dtype)(h)
        return h.astype(jnp.float32)


def _mean_and_log_variance(h: Array, gaussian: bool) -> tuple[Array, Array | None]:
    """Split h [..., 2 c] into mean and log-variance, clipped to [-30, 20]; else (h, None)."""
    if not gaussian:
        return h, None
    mean, log_variance = jnp.split(h, 2, axis=-1)
    return mean, jnp.clip(log_variance, -30.0, 20.0)


class Autoencoder(nn.Module):
    """Convolutional autoencoder with the methods `encode`, `quantize`, `rebuild` and `decode`.

    The latents of images [B, H, W, C] are [B, H/f, W/f, c], f = 2^(levels - 1).

    Attributes:
      channels: C.
      width: channels at the highest resolution.
      multipliers: factors of `width`, one per level.
      blocks: residual blocks per level of the encoder; the decoder has one more.
      attention: heights at which blocks are followed by attention; the middle always has it.
      latent_channels: c.
      gaussian: whether the encoder predicts a log-variance besides the mean.
      codes: number of codes that latents are quantized to before they are decoded; 0: none.
      tanh: output through tanh; else linear.
      dropout: dropout rate of the residual blocks in training.
      dtype: compute dtype.
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
    dropout: float = 0.0
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        """Encoder, decoder, a 1x1 convolution on each side of the latents, and the codebook."""
        sizes: dict[str, Any] = dict(
            width=self.width,
            multipliers=self.multipliers,
            blocks=self.blocks,
            attention=self.attention,
            dropout=self.dropout,
            dtype=self.dtype,
        )
        outputs = self.latent_channels * (2 if self.gaussian else 1)
        self.encoder = Encoder(outputs, **sizes)
        self.decoder = Decoder(self.channels, **sizes)
        self.conv_latent = conv(outputs, 1, dtype=self.dtype)
        self.conv_code = conv(self.latent_channels, 1, dtype=self.dtype)
        if self.codes:
            # Uniform in [-1 / codes, 1 / codes], as in VQGAN.
            init = nn.initializers.variance_scaling(
                1 / (3 * self.codes), "fan_in", "uniform", in_axis=0, out_axis=1
            )
            shape = (self.codes, self.latent_channels)
            self.codebook = self.param("codebook", init, shape, jnp.float32)

    def __call__(self, x: Array) -> Array:
        """Reconstructions of images [B, H, W, C]; uses all parameters, for `init`."""
        return self.decode(self.encode(x)[0])

    def encode(self, x: Array, train: bool = False) -> tuple[Array, Array | None]:
        """(latents, log-variance or None) of images [B, H, W, C], float32 [B, H/f, W/f, c]."""
        h = self.conv_latent(self.encoder(x, train)).astype(jnp.float32)
        return _mean_and_log_variance(h, self.gaussian)

    def latents_of(self, shape: Shape) -> Shape:
        """The shape of the latents of one image of `shape`."""
        factor = 2 ** (len(self.multipliers) - 1)
        return (shape[0] // factor, shape[1] // factor, self.latent_channels)

    def quantize(self, z: Array) -> tuple[Array, Array]:
        """(nearest codes, their indices int32 [...]) of latents z [..., c]; Euclidean distance."""
        distance = (
            jnp.sum(jnp.square(z), axis=-1, keepdims=True)
            - 2 * jnp.matmul(z, self.codebook.T, precision=jax.lax.Precision.HIGHEST)
            + jnp.sum(jnp.square(self.codebook), axis=-1)
        )
        index = jnp.argmin(distance, axis=-1)
        return self.codebook[index], index

    def rebuild(self, z: Array, train: bool = False) -> Array:
        """Images float32 [B, H, W, C] of latents z [B, h, w, c], quantized if there are codes."""
        out: Array = self.decoder(self.conv_code(z.astype(self.dtype)), train)
        return jnp.tanh(out) if self.tanh else out

    def decode(self, z: Array) -> Array:
        """Images float32 [B, H, W, C] of latents z [B, h, w, c]; codes are applied first."""
        return self.rebuild(self.quantize(z)[0] if self.codes else z)


class MLP(nn.Module):
    """Residual MLP on flattened inputs: the encoder or the decoder of `MLPAutoencoder`.

    Attributes:
      outputs: number of outputs.
      width, blocks: width of the trunk, and its number of residual blocks.
      dtype: compute dtype.
    """

    outputs: int
    width: int
    blocks: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Outputs float32 [B, outputs] of x [B, ...]."""
        flat = x.reshape(x.shape[0], -1).astype(self.dtype)
        constant = jnp.ones((x.shape[0], 1), self.dtype)  # in place of a time embedding
        h = Trunk(self.width, self.blocks, self.dtype, name="trunk")(flat, constant)
        layer = dense(self.outputs, dtype=jnp.float32, name="out")
        out: Array = layer(h.astype(jnp.float32))
        return out


class MLPAutoencoder(nn.Module):
    """Autoencoder of residual MLPs for very small images, without codes.

    Attributes:
      shape: (H, W, C) of one image.
      width, blocks: see `mlp.Trunk`; the same for encoder and decoder.
      latent_shape: shape of the latents of one image; any.
      gaussian, tanh, dtype: see `Autoencoder`.
    """

    shape: Shape
    width: int
    blocks: int
    latent_shape: Shape
    gaussian: bool
    tanh: bool = False
    dtype: Dtype = jnp.float32
    codes: ClassVar[int] = 0
    dropout: ClassVar[float] = 0.0

    def setup(self) -> None:
        """Encoder and decoder."""
        sizes: dict[str, Any] = dict(width=self.width, blocks=self.blocks, dtype=self.dtype)
        outputs = math.prod(self.latent_shape) * (2 if self.gaussian else 1)
        self.encoder = MLP(outputs, **sizes)
        self.decoder = MLP(math.prod(self.shape), **sizes)

    def __call__(self, x: Array) -> Array:
        """As in `Autoencoder`."""
        return self.decode(self.encode(x)[0])

    def latents_of(self, shape: Shape) -> Shape:
        """As in `Autoencoder`."""
        del shape
        return tuple(self.latent_shape)

    def encode(self, x: Array) -> tuple[Array, Array | None]:
        """As in `Autoencoder`."""
        *outer, channels = self.latent_shape
        h = self.encoder(x).reshape(x.shape[0], *outer, channels * (2 if self.gaussian else 1))
        return _mean_and_log_variance(h, self.gaussian)

    def rebuild(self, z: Array) -> Array:
        """As in `Autoencoder`."""
        out = self.decoder(z).reshape(z.shape[0], *self.shape)
        return jnp.tanh(out) if self.tanh else out

    def decode(self, z: Array) -> Array:
        """As in `Autoencoder`."""
        return self.rebuild(z)


CONV_AUTOENCODER = Network(
    Autoencoder,
    channels_of,
    fits=fits_images(lambda module: len(module.multipliers) - 1),
)
MLP_AUTOENCODER = Network(MLPAutoencoder, lambda shape: {"shape": shape})
