"""NCSN++ U-Net with latent-adaptive group norm: the generator of DDGAN (Xiao et al. 2022).

`u_net` has the layout shared with `wavelet_ncsnpp`; `NCSNpp` fills it with the layers of Song et
al. 2021. Functions that create layers are called within a compact module, which owns these layers.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from ddgan_jax.core.types import Array
from ddgan_jax.networks import resample
from ddgan_jax.networks.embedding import Embedding, project
from ddgan_jax.networks.entry import Network, channels_of, fits_images
from ddgan_jax.networks.layers import (
    NEAR_ZERO,
    SQRT_HALF,
    AdaptiveGroupNorm,
    Attention,
    Dtype,
    GroupNorm,
    conv,
    dense,
    normalize_latent,
    sinusoidal_embedding,
    with_coordinates,
)


def second_half(
    h: Array,
    bias: Array | None,
    temb: Embedding,
    zemb: Embedding,
    train: bool,
    dropout: float,
    **kwargs: Any,
) -> Array:
    """Second half of a residual block: +time, AdaGN, SiLU, dropout, conv; divided by sqrt 2.

    Args:
      h: features [B, H, W, C].
      bias: [C], added to them; None: 0.
      temb: time embedding [B, E].
      zemb: latent embedding [B, Z].
      train: whether dropout is active.
      dropout: rate.
      **kwargs: dtype and `equalized` of the layers.

    Returns:
      Features [B, H, W, C].
    """
    time = temb.through(dense(h.shape[-1], name="time", **kwargs))
    time = time if bias is None else time.astype(jnp.float32) + bias
    h = AdaptiveGroupNorm(silu=True, name="norm_1", **kwargs)(h, zemb, time)
    h = nn.Dropout(dropout, deterministic=not train)(h)
    return conv(h.shape[-1], 3, scale=NEAR_ZERO, name="conv_1", **kwargs)(h, SQRT_HALF)


class ResBlock(nn.Module):
    """BigGAN-style residual block: AdaGN, SiLU, [resample], conv, +time, AdaGN, SiLU, conv.

    Attributes:
      features: number of output channels.
      resample: "none", "up" or "down".
      dropout: rate.
      equalized: equalized learning rate, see `layers.conv`.
      dtype: compute dtype.
    """

    features: int
    resample: str = "none"
    dropout: float = 0.0
    equalized: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, temb: Embedding, zemb: Embedding, train: bool) -> Array:
        """Features of x [B, H, W, C], for SiLU of time embeddings [B, E] and latent ones [B, Z]."""
        kwargs: dict[str, Any] = dict(dtype=self.dtype, equalized=self.equalized)
        resize: dict[str, Callable[[Array], Array]]
        resize = {"none": lambda y: y, "up": resample.upsample, "down": resample.downsample}
        h = AdaptiveGroupNorm(silu=True, name="norm_0", **kwargs)(x, zemb)
        h, bias = conv(self.features, 3, name="conv_0", **kwargs).linear(resize[self.resample](h))
        h = second_half(h, bias, temb, zemb, train, self.dropout, **kwargs)
        if x.shape[-1] == self.features and self.resample == "none":
            return h + x * SQRT_HALF
        shortcut = conv(self.features, 1, name="shortcut", **kwargs)
        if self.resample == "up":  # the same as after upsampling, for a quarter of the work
            x, bias = shortcut.linear(x, SQRT_HALF)
            assert bias is not None
            return h + (resample.upsample(x) + bias.astype(self.dtype))
        return h + shortcut(resize[self.resample](x), SQRT_HALF)


def embed_time(t: Array, width: int, **kwargs: Any) -> Array:
    """SiLU of the time embedding, [B, 4 width], of t int32 [B]."""
    temb = sinusoidal_embedding(t, width).astype(kwargs["dtype"])
    temb = dense(4 * width, name="time_0", **kwargs)(temb)
    return nn.silu(dense(4 * width, name="time_1", **kwargs)(nn.silu(temb)))


def embed_latent(z: Array, width: int, layers: int, **kwargs: Any) -> Array:
    """Mapping network: latent embedding [B, width] of z [B, nz], with `layers` + 1 dense layers."""
    zemb = z.astype(kwargs["dtype"])
    for i in range(layers + 1):
        zemb = nn.silu(dense(width, name=f"latent_{i}", **kwargs)(zemb))
    return zemb


class Parts(NamedTuple):
    """The layers that `u_net` puts in order. Features are [B, H, W, C].

    Attributes:
      block: (features, level, name) -> features of the level's width.
      attend: (features, name) -> features, after attention at the resolutions that have it.
      down: (features, level, name) -> (features of half the size, extra values for `up`).
      pyramid: (input pyramid, width, name) -> the input pyramid at half the size.
      middle: features -> features, at the lowest resolution.
      up: (features, extra values of `down`, level, name) -> features of twice the size.
    """

    block: Callable[[Array, int, str], Array]
    attend: Callable[[Array, str], Array]
    down: Callable[[Array, int, str], tuple[Array, Any]]
    pyramid: Callable[[Array, int, str], Array]
    middle: Callable[[Array], Array]
    up: Callable[[Array, Any, int, str], Array]


def u_net(h: Array, pyramid: Array, levels: int, blocks: int, parts: Parts) -> Array:
    """A U-Net with an input pyramid.

    Args:
      h: features after the first convolution, [B, H, W, C].
      pyramid: the network's input, [B, H, W, channels].
      levels: number of resolutions, each half of the one before.
      blocks: residual blocks per level on the way down; the way up has one more.
      parts: the layers.

    Returns:
      Features [B, H, W, width of level 0].
    """
    skips, extras = [h], []
    for level in range(levels):
        for i in range(blocks):
            h = parts.block(h, level, f"down_{level}_block_{i}")
            h = parts.attend(h, f"down_{level}_attention_{i}")
            skips.append(h)
        if level < levels - 1:
            h, extra = parts.down(h, level, f"down_{level}_resample")
            extras.append(extra)
            pyramid = parts.pyramid(pyramid, h.shape[-1], f"pyramid_{level}")
            pyramid = h = (pyramid + h) * SQRT_HALF
            skips.append(h)
    h = parts.middle(h)
    for level in reversed(range(levels)):
        for i in range(blocks + 1):
            h = parts.block(jnp.concatenate([h, skips.pop()], -1), level, f"up_{level}_block_{i}")
        h = parts.attend(h, f"up_{level}_attention")
        if level > 0:
            h = parts.up(h, extras.pop(), level, f"up_{level}_resample")
    return h


def output(h: Array, channels: int, tanh: bool, **kwargs: Any) -> Array:
    """Output layers: norm, SiLU, conv, [tanh]; float32 [B, H, W, channels] of h [B, H, W, C]."""
    h = GroupNorm(silu=True, dtype=kwargs["dtype"], name="norm_out")(h)
    h = conv(channels, 3, scale=NEAR_ZERO, name="conv_out", **kwargs)(h)
    h = h.astype(jnp.float32)
    return jnp.tanh(h) if tanh else h


class NCSNpp(nn.Module):
    """Generator x_0' = G(x_{t+1}, t, z).

    Attributes:
      channels: channels of the image.
      width: channels at the highest resolution, `nf` in the published code.
      multipliers: factors of `width`, one per level; each further level halves the resolution.
      blocks: residual blocks per level on the way down; one more on the way up.
      attention: heights with attention: after every block on the way down, after the last block of
        a level on the way up.
      z_width: width of the latent embedding.
      z_layers: layers of the mapping network after the first.
      dropout: rate inside residual blocks.
      remat: recompute the activations of residual blocks in the backward pass, to save memory.
      tanh: output through tanh; else linear.
      normalize_z: apply `normalize_latent` before the mapping network, which removes the length of
        z.
      coordinates: append each pixel's coordinates to the input as two channels, for inputs that may
        be constant: there convolutions can tell pixels apart by their distance to the border only.
      equalized: equalized learning rate, see `layers.conv`.
      dtype: compute dtype.
    """

    channels: int
    width: int
    multipliers: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    z_width: int
    z_layers: int
    dropout: float = 0.0
    remat: bool = False
    tanh: bool = True
    normalize_z: bool = True
    coordinates: bool = False
    equalized: bool = False
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, t: Array, z: Array, train: bool = False) -> Array:
        """Generated x_0 of x float32 [B, H, W, channels], t int32 [B] and z float32 [B, nz]."""
        kwargs: dict[str, Any] = dict(dtype=self.dtype, equalized=self.equalized)
        attention_sizes = set(self.attention)
        block_class = nn.remat(ResBlock, static_argnums=(4,)) if self.remat else ResBlock
        times = embed_time(t, self.width, **kwargs)
        temb = project(self, times, "time", self.equalized)
        z = z.astype(jnp.float32)
        z = normalize_latent(z) if self.normalize_z else z
        latents = embed_latent(z, self.z_width, self.z_layers, **kwargs)
        zemb = project(self, latents, "style", self.equalized)

        def block(h: Array, level: int, name: str, direction: str = "none") -> Array:
            features = self.width * self.multipliers[level]
            module = block_class(features, direction, self.dropout, name=name, **kwargs)
            result: Array = module(h, temb, zemb, train)
            return result

        def attend(h: Array, name: str) -> Array:
            return Attention(name=name, **kwargs)(h) if h.shape[1] in attention_sizes else h

        def down(h: Array, level: int, name: str) -> tuple[Array, None]:
            return block(h, level, name, "down"), None

        def up(h: Array, extra: None, level: int, name: str) -> Array:
            del extra
            return block(h, level, name, "up")

        def pyramid(image: Array, width: int, name: str) -> Array:
            strided = conv(width, 3, name=name, strides=2, padding="VALID", **kwargs)
            return strided(resample.blur(image))

        def middle(h: Array) -> Array:
            h = block(h, -1, "middle_block_0")
            h = Attention(name="middle_attention", **kwargs)(h)
            return block(h, -1, "middle_block_1")

        image = (with_coordinates(x) if self.coordinates else x).astype(self.dtype)
        h = conv(self.width, 3, name="conv_in", **kwargs)(image)
        parts = Parts(block, attend, down, pyramid, middle, up)
        h = u_net(h, image, len(self.multipliers), self.blocks, parts)
        return output(h, self.channels, self.tanh, **kwargs)


GENERATOR = Network(
    NCSNpp, channels_of, fits=fits_images(lambda module: len(module.multipliers) - 1)
)
