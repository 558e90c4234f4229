"""NCSN++ U-Net with latent-adaptive group norm: the generator of DDGAN (Xiao et al. 2022)."""

import flax.linen as nn
import jax.numpy as jnp

from ddgan_jax.networks import resample
from ddgan_jax.networks.layers import (
    NEAR_ZERO,
    SQRT_HALF,
    AdaptiveGroupNorm,
    Attention,
    Dtype,
    GroupNorm,
    conv,
    dense,
    normalise_latent,
    sinusoidal_embedding,
    with_coordinates,
)
from ddgan_jax.types import Array


class ResBlock(nn.Module):
    """BigGAN-style residual block: AdaGN, SiLU, [resample], conv, +time, AdaGN, SiLU, conv."""

    features: int
    resample: str = "none"  # "none" | "up" | "down": a static choice of structure
    dropout: float = 0.0
    equalised: bool = False
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, temb: Array, zemb: Array, train: bool) -> Array:
        """X [B, H, W, C], silu(time embedding) [B, 4nf], latent embedding [B, E]."""
        kwargs = dict(dtype=self.dtype, param_dtype=self.param_dtype, equalised=self.equalised)
        resize = {"none": lambda y: y, "up": resample.upsample, "down": resample.downsample}
        h = nn.silu(AdaptiveGroupNorm(name="norm_0", **kwargs)(x, zemb))
        h, x = resize[self.resample](h), resize[self.resample](x)
        h = conv(self.features, 3, name="conv_0", **kwargs)(h)
        h = h + dense(self.features, name="time", **kwargs)(temb)[:, None, None, :]
        h = nn.silu(AdaptiveGroupNorm(name="norm_1", **kwargs)(h, zemb))
        h = nn.Dropout(self.dropout, deterministic=not train)(h)
        h = conv(self.features, 3, scale=NEAR_ZERO, name="conv_1", **kwargs)(h)
        if x.shape[-1] != self.features or self.resample != "none":
            x = conv(self.features, 1, name="shortcut", **kwargs)(x)
        return (x + h) * SQRT_HALF


class NCSNpp(nn.Module):
    """Generator x_0' = G(x_{t+1}, t, z).

    Attributes:
      channels: of the image.
      width: `nf`, channels at the finest level.
      multipliers: of `width`, one per level; each further level halves the resolution.
      blocks: residual blocks per level.
      attention: resolutions (heights) that get attention.
      z_width: width of the latent embedding.
      z_layers: mapping layers after the first.
      dropout: rate inside residual blocks.
      remat: recompute each residual block's activations in the backward pass (memory for time).
      tanh: output through tanh; else linear.
      normalise_z: `normalise_latent` before the mapping; else the length of z is seen.
      coordinates: show the network where each pixel is, as two more channels. For inputs that may
        be flat: convolutions of a flat image know nothing but its border.
      equalised: learning rate of all weights, see `layers.conv`.
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
    normalise_z: bool = True
    coordinates: bool = False
    equalised: bool = False
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, t: Array, z: Array, train: bool = False) -> Array:
        """X float32 [B, H, W, channels], t int32 [B], z float32 [B, nz] -> float32 like x."""
        kwargs = dict(dtype=self.dtype, param_dtype=self.param_dtype, equalised=self.equalised)
        levels = len(self.multipliers)
        attention_sizes = set(self.attention)
        block_class = nn.remat(ResBlock, static_argnums=(4,)) if self.remat else ResBlock

        temb = sinusoidal_embedding(t, self.width).astype(self.dtype)
        temb = dense(4 * self.width, name="time_0", **kwargs)(temb)
        temb = nn.silu(dense(4 * self.width, name="time_1", **kwargs)(nn.silu(temb)))

        z = z.astype(jnp.float32)
        zemb = (normalise_latent(z) if self.normalise_z else z).astype(self.dtype)
        for i in range(self.z_layers + 1):
            zemb = nn.silu(dense(self.z_width, name=f"latent_{i}", **kwargs)(zemb))

        def block(h: Array, level: int, name: str, direction: str = "none") -> Array:
            features = self.width * self.multipliers[level]
            module = block_class(features, direction, self.dropout, name=name, **kwargs)
            return module(h, temb, zemb, train)

        def attend(h: Array, name: str) -> Array:
            return Attention(name=name, **kwargs)(h) if h.shape[1] in attention_sizes else h

        pyramid = (with_coordinates(x) if self.coordinates else x).astype(self.dtype)
        h = conv(self.width, 3, name="conv_in", **kwargs)(pyramid)
        skips = [h]
        for level in range(levels):
            for i in range(self.blocks):
                h = block(h, level, f"down_{level}_block_{i}")
                h = attend(h, f"down_{level}_attention_{i}")
                skips.append(h)
            if level < levels - 1:
                h = block(h, level, f"down_{level}_resample", "down")
                pyramid = conv(
                    h.shape[-1], 3, name=f"pyramid_{level}", strides=2, padding="VALID", **kwargs
                )(resample.blur(pyramid))
                pyramid = h = (pyramid + h) * SQRT_HALF
                skips.append(h)

        h = block(h, levels - 1, "middle_block_0")
        h = Attention(name="middle_attention", **kwargs)(h)
        h = block(h, levels - 1, "middle_block_1")

        for level in reversed(range(levels)):
            for i in range(self.blocks + 1):
                h = block(jnp.concatenate([h, skips.pop()], -1), level, f"up_{level}_block_{i}")
            h = attend(h, f"up_{level}_attention")
            if level > 0:
                h = block(h, level, f"up_{level}_resample", "up")

        norm = GroupNorm(dtype=self.dtype, param_dtype=self.param_dtype, name="norm_out")
        h = nn.silu(norm(h))
        h = conv(self.channels, 3, scale=NEAR_ZERO, name="conv_out", **kwargs)(h)
        h = h.astype(jnp.float32)
        return jnp.tanh(h) if self.tanh else h
