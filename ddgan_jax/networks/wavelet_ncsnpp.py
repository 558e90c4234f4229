"""NCSN++ with Haar transforms for resampling: the generator of WDDGAN (arXiv 2211.16152).

Phung, Dao and Tran 2023 use the U-Net of `ncsnpp` with other layers:

  down      features continue as LL / 2; LH, HL and HH are kept for the way up (high-band skips)
  up        LL is 2 features; LH, HL and HH are a convolution of the bands kept on the way down
  middle    blocks transform LL / 2, high bands bypass them (frequency bottleneck)
  pyramid   each level adds a convolution of the input's bands

The factors 1/2 and 2 keep LL in the range of the features, as in `spaces.wavelet`.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from ddgan_jax.core.types import Array
from ddgan_jax.diffusion.haar import dwt, idwt
from ddgan_jax.networks.embedding import Embedding, project
from ddgan_jax.networks.entry import Network, channels_of, fits_images
from ddgan_jax.networks.layers import (
    SQRT_HALF,
    AdaptiveGroupNorm,
    Attention,
    Dtype,
    conv,
    normalize_latent,
)
from ddgan_jax.networks.ncsnpp import (
    Parts,
    ResBlock,
    embed_latent,
    embed_time,
    output,
    second_half,
    u_net,
)


def split_low(x: Array) -> tuple[Array, Array]:
    """LL / 2 [B, H/2, W/2, C] and the high bands [B, H/2, W/2, 3 C] of x [B, H, W, C]."""
    bands = dwt(x)
    return bands[..., : x.shape[-1]] * 0.5, bands[..., x.shape[-1] :]


def join_low(low: Array, high: Array) -> Array:
    """The inverse of `split_low`."""
    return idwt(jnp.concatenate([low * 2, high], axis=-1))


def first_half(x: Array, zemb: Embedding, features: int, **kwargs: Any) -> tuple[Array, Array]:
    """First half of a residual block: AdaGN, SiLU, conv; and its shortcut.

    The shortcut is a 1x1 convolution, divided by sqrt 2. For use within a compact module, which
    owns the layers.
    """
    h = AdaptiveGroupNorm(silu=True, name="norm_0", **kwargs)(x, zemb)
    h = conv(features, 3, name="conv_0", **kwargs)(h)
    return h, conv(features, 1, name="shortcut", **kwargs)(x, SQRT_HALF)


class HaarDown(nn.Module):
    """Residual block that halves the resolution after its first convolution.

    Attributes:
      features: F, number of output channels.
      dropout: rate.
      dtype: compute dtype.
    """

    features: int
    dropout: float = 0.0
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Array, temb: Embedding, zemb: Embedding, train: bool
    ) -> tuple[Array, Array]:
        """Features [B, H/2, W/2, F] and high bands [B, H/2, W/2, 3 F] of x [B, H, W, C]."""
        kwargs: dict[str, Any] = dict(dtype=self.dtype)
        h, x = first_half(x, zemb, self.features, **kwargs)
        (h, high), (x, _) = split_low(h), split_low(x)
        h = second_half(h, None, temb, zemb, train, self.dropout, **kwargs)
        return x + h, high


class HaarUp(nn.Module):
    """Residual block that doubles the resolution after its first convolution.

    Attributes: see `HaarDown`.
    """

    features: int
    dropout: float = 0.0
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Array, high: Array, temb: Embedding, zemb: Embedding, train: bool
    ) -> Array:
        """Features [B, 2H, 2W, F] of x [B, H, W, C] and `HaarDown`'s high bands [B, H, W, 3 K]."""
        kwargs: dict[str, Any] = dict(dtype=self.dtype)
        h, x = first_half(x, zemb, self.features, **kwargs)
        # One group per band: bands are not mixed.
        bands = conv(3 * self.features, 3, name="bands", feature_group_count=3, **kwargs)
        high = bands(high * 0.5) * 2
        h, x = join_low(h, high), join_low(x, high * SQRT_HALF)
        h = second_half(h, None, temb, zemb, train, self.dropout, **kwargs)
        return x + h


class WaveletNCSNpp(nn.Module):
    """Generator x_0' = G(x_{t+1}, t, z) of WDDGAN.

    Heights and widths are multiples of 2^levels, for len(multipliers) levels.

    Attributes: see `NCSNpp`; `attention` refers to heights of this network's features.
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
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, t: Array, z: Array, train: bool = False) -> Array:
        """Generated x_0 of x float32 [B, H, W, channels], t int32 [B] and z float32 [B, nz]."""
        kwargs: dict[str, Any] = dict(dtype=self.dtype)
        block_class, down_class, up_class = (
            nn.remat(c, static_argnums=(n,)) if self.remat else c
            for c, n in ((ResBlock, 4), (HaarDown, 4), (HaarUp, 5))
        )
        temb = project(self, embed_time(t, self.width, **kwargs), "time")
        z = normalize_latent(z.astype(jnp.float32))
        latents = embed_latent(z, self.z_width, self.z_layers, **kwargs)
        zemb = project(self, latents, "style")

        def make(cls: Any, level: int, name: str) -> Callable[..., Any]:
            features = self.width * self.multipliers[level]
            module: Callable[..., Any] = cls(features, dropout=self.dropout, name=name, **kwargs)
            return module

        def block(h: Array, level: int, name: str) -> Array:
            result: Array = make(block_class, level, name)(h, temb, zemb, train)
            return result

        def attend(h: Array, name: str) -> Array:
            return Attention(name=name, **kwargs)(h) if h.shape[1] in self.attention else h

        def down(h: Array, level: int, name: str) -> tuple[Array, Array]:
            result: tuple[Array, Array] = make(down_class, level, name)(h, temb, zemb, train)
            return result

        def up(h: Array, high: Array, level: int, name: str) -> Array:
            result: Array = make(up_class, level, name)(h, high, temb, zemb, train)
            return result

        def pyramid(image: Array, width: int, name: str) -> Array:
            return conv(width, 3, name=name, **kwargs)(dwt(image) * 0.5)

        def middle(h: Array) -> Array:
            first, second = (make(block_class, -1, f"middle_block_{i}") for i in (0, 1))

            def on_low(module: Callable[..., Any], h: Array) -> Array:
                low, high = split_low(h)
                return join_low(module(low, temb, zemb, train), high)

            h = on_low(first, h)
            h = Attention(name="middle_attention", **kwargs)(h)
            h = second(h, temb, zemb, train)
            return on_low(second, h)  # applied twice, as in the published code

        image = x.astype(self.dtype)
        h = conv(self.width, 3, name="conv_in", **kwargs)(image)
        parts = Parts(block, attend, down, pyramid, middle, up)
        h = u_net(h, image, len(self.multipliers), self.blocks, parts)
        return output(h, self.channels, self.tanh, **kwargs)


GENERATOR = Network(
    WaveletNCSNpp,
    channels_of,
    fits=fits_images(lambda module: len(module.multipliers)),  # the middle halves once more
)
