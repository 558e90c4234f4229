"""U-ViT with adaptive norms: the transformer generator of LDDGAN's appendix C.

The backbone is that of Bao et al. 2023: patches and the time are tokens, and blocks on the way in
have long skips to those on the way out. Trinh and Hamagami 2024 add norms that the latent z steers.
They give neither the sizes of their networks nor the form of these norms: here a layer norm, as in
the backbone, is followed by a scale and a shift for each channel.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ddgan_jax.core.types import Array, Shape
from ddgan_jax.networks.entry import Network, channels_of, not_images
from ddgan_jax.networks.layers import Dtype, full_precision, normalize_latent, one_then_zero
from ddgan_jax.networks.ncsnpp import embed_latent

# Not truncated: the published truncation at 100 standard deviations changes nothing.
_INIT = nn.initializers.normal(0.02)
_CONV_INIT = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def time_token(t: Array, width: int) -> Array:
    """Embed times: cosines, then sines, with the frequencies exp(-ln(10000) k / half).

    Args:
      t: int32 [B].
      width: even size of the embedding; half = width / 2, k = 0..half-1.

    Returns:
      float32 [B, width].
    """
    half = width // 2
    frequencies = jnp.exp(-math.log(10000.0) / half * jnp.arange(half, dtype=jnp.float32))
    angles = t.astype(jnp.float32)[:, None] * frequencies[None, :]
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


def layer_norm(x: Array, dtype: Dtype, name: str) -> Array:
    """Layer norm of x [..., D] in float32 or more; for use within a compact module."""
    norm = nn.LayerNorm(epsilon=1e-5, dtype=full_precision(dtype), name=name)
    result: Array = norm(x.astype(full_precision(dtype))).astype(dtype)
    return result


class AdaptiveLayerNorm(nn.Module):
    """Layer norm in float32, then a scale and a shift predicted from the latent embedding.

    The predicting layer starts as the constant scale 1 and shift 0.
    """

    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, emb: Array) -> Array:
        """Normalized and modulated tokens x [B, N, D], for embeddings [B, E]."""
        layer = nn.Dense(
            2 * x.shape[-1],
            kernel_init=nn.initializers.zeros,
            bias_init=one_then_zero,
            dtype=self.dtype,
            name="style",
        )
        scale, shift = jnp.split(layer(emb)[:, None, :], 2, axis=-1)
        return scale * layer_norm(x, self.dtype, "norm") + shift


class Block(nn.Module):
    """[Dense of x and a skip], then x + attention(norm(x)), then x + MLP(norm(x)).

    Attributes:
      heads: attention heads.
      dtype: compute dtype; norms and softmax are computed in float32.
    """

    heads: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, skip: Array | None, emb: Array) -> Array:
        """Tokens [B, N, D] of x and skip [B, N, D], for latent embeddings [B, E]."""
        width = x.shape[-1]

        def layer(features: int, name: str, use_bias: bool = True) -> nn.Dense:
            return nn.Dense(
                features, use_bias=use_bias, kernel_init=_INIT, dtype=self.dtype, name=name
            )

        if skip is not None:
            x = layer(width, "skip")(jnp.concatenate([x, skip], axis=-1))
        h = AdaptiveLayerNorm(self.dtype, name="norm_0")(x, emb)
        qkv = layer(3 * width, "qkv", use_bias=False)(h)
        q, k, v = jnp.moveaxis(qkv.reshape(*qkv.shape[:2], 3, self.heads, -1), 2, 0)
        logits = jnp.einsum("bihc,bjhc->bhij", q, k) * q.shape[-1] ** -0.5
        weights = jax.nn.softmax(logits.astype(full_precision(self.dtype)), axis=-1).astype(
            self.dtype
        )
        h = jnp.einsum("bhij,bjhc->bihc", weights, v).reshape(x.shape)
        x = x + layer(width, "attention_out")(h)
        h = AdaptiveLayerNorm(self.dtype, name="norm_1")(x, emb)
        h = nn.gelu(layer(4 * width, "mlp_0")(h), approximate=False)
        return x + layer(width, "mlp_1")(h)


def unpatchify(x: Array, size: int) -> Array:
    """Move channels into squares of size x size pixels.

    Args:
      x: [B, h, w, size size C]; channel (i size + j) C + c becomes channel c of pixel (i, j) of a
        square.
      size: height and width of a square; 1 returns x.

    Returns:
      [B, size h, size w, C].
    """
    batch, height, width, channels = x.shape
    squares = x.reshape(batch, height, width, size, size, channels // (size * size))
    return squares.transpose(0, 1, 3, 2, 4, 5).reshape(batch, size * height, size * width, -1)


class UViT(nn.Module):
    """Generator x_0' = G(x_{t+1}, t, z).

    Attributes:
      channels: channels of the image.
      width: size of a token; an even multiple of `heads`.
      blocks: transformer blocks on the way in, and as many on the way out; one more lies between.
      heads: attention heads.
      patch: height and width of the square of pixels in a token.
      z_width: width of the latent embedding.
      z_layers: layers of the mapping network after the first.
      t_layers: whether the time's token passes Dense(4 width), SiLU, Dense(width).
      remat: recompute the activations of blocks in the backward pass, to save memory.
      tanh: output through tanh; else linear, as the backbone.
      normalize_z: apply `normalize_latent` before the mapping network.
      dtype: compute dtype.
    """

    channels: int
    width: int
    blocks: int
    heads: int
    patch: int
    z_width: int
    z_layers: int
    t_layers: bool = False
    remat: bool = False
    tanh: bool = True
    normalize_z: bool = True
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, t: Array, z: Array, train: bool = False) -> Array:
        """Generated x_0 of x float32 [B, H, W, channels], t int32 [B] and z float32 [B, nz]."""
        del train
        batch, height, width, _ = x.shape
        grid = (height // self.patch, width // self.patch)
        block = nn.remat(Block) if self.remat else Block
        kwargs: dict[str, Any] = dict(dtype=self.dtype)

        z = z.astype(full_precision(self.dtype))
        z = normalize_latent(z) if self.normalize_z else z
        emb = embed_latent(z, self.z_width, self.z_layers, **kwargs)
        token = time_token(t, self.width).astype(self.dtype)
        if self.t_layers:
            layers = dict(kernel_init=_INIT, dtype=self.dtype)
            token = nn.silu(nn.Dense(4 * self.width, name="t_0", **layers)(token))
            token = nn.Dense(self.width, name="t_1", **layers)(token)

        size = (self.patch, self.patch)
        patches = nn.Conv(
            self.width, size, size, "VALID", kernel_init=_CONV_INIT, name="patches", **kwargs
        )
        h = patches(x.astype(self.dtype)).reshape(batch, -1, self.width)
        h = jnp.concatenate([token[:, None, :], h], axis=1)
        h = h + self.param("positions", _INIT, (1, *h.shape[1:])).astype(self.dtype)

        skips = []
        for i in range(self.blocks):
            h = block(self.heads, name=f"in_{i}", **kwargs)(h, None, emb)
            skips.append(h)
        h = block(self.heads, name="middle", **kwargs)(h, None, emb)
        for i in range(self.blocks):
            h = block(self.heads, name=f"out_{i}", **kwargs)(h, skips.pop(), emb)

        h = layer_norm(h[:, 1:], self.dtype, "norm_out")
        pixels = self.patch**2 * self.channels
        h = nn.Dense(pixels, kernel_init=_INIT, name="pixels", **kwargs)(h)
        h = unpatchify(h.reshape(batch, *grid, pixels), self.patch)
        h = nn.Conv(self.channels, (3, 3), kernel_init=_CONV_INIT, name="conv_out", **kwargs)(h)
        h = h.astype(full_precision(self.dtype))
        return jnp.tanh(h) if self.tanh else h


def _fits(module: Any, shape: Shape) -> str:
    if refused := not_images(shape):
        return refused
    if shape[0] % module.patch or shape[1] % module.patch:
        return (
            f"cuts its inputs into patches of {module.patch}x{module.patch}; multiples of "
            f"{module.patch} are needed, config.data.image_size gives {shape[0]}x{shape[1]}"
        )
    return ""


def _heads_divide_width(module: Any) -> str:
    if module.width % 2 == 0 and module.width % module.heads == 0:
        return ""
    return f"width is {module.width}; an even multiple of heads, {module.heads}, is needed"


GENERATOR = Network(UViT, channels_of, fits=_fits, consistent=_heads_divide_width)
