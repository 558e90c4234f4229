"""Generator of StyleGAN2 (Karras et al. 2020, arXiv 1912.04958), as Diffusion-StyleGAN2 uses it.

z and class -> mapping network -> w -> synthesis network -> image. Every layer of the synthesis
network may have a w of its own (style mixing, truncation), and adds a noise image.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ddgan_jax.core.types import Array
from ddgan_jax.networks import resample
from ddgan_jax.networks.entry import Network, fits_powers_of_two, square_images
from ddgan_jax.networks.layers import SQRT_HALF, Dtype, full_precision
from ddgan_jax.networks.stylegan2_layers import (
    ARCHITECTURES,
    EqualizedConv,
    EqualizedDense,
    MappingNetwork,
    activation,
    channels_at,
    modulated_conv,
    resolutions_up_to,
)

Noise = Sequence[Array] | None


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU.

    Attributes:
      features: number of output channels.
      up: whether it doubles the resolution.
      gain: factor of the result.
      dtype: compute dtype.
    """

    features: int
    up: bool = False
    gain: float = 1.0
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, w: Array, noise: Array | None) -> Array:
        """Features [B, H or 2H, W or 2W, F] of x [B, H, W, C], w [B, W] and noise.

        Noise is an image for each sample, [B, H or 2H, W or 2W], one for all, [H or 2H, W or 2W],
        or None. It is multiplied by one learned number, which starts at 0.
        """
        fan_in, full = x.shape[-1], full_precision(self.dtype)
        style = EqualizedDense(fan_in, bias=1.0, dtype=full, name="affine")(w)
        shape = (3, 3, fan_in, self.features)
        kernel = self.param("kernel", nn.initializers.normal(1.0), shape)
        strength = self.param("noise_strength", nn.initializers.zeros, ())
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x = modulated_conv(x.astype(self.dtype), style, kernel, up=self.up)
        if noise is not None:
            x = x + (noise * strength)[..., None].astype(self.dtype)
        return activation(x + bias.astype(self.dtype), self.gain)


class ToImage(nn.Module):
    """Modulated 1x1 convolution to the channels of the image, without demodulation.

    Attributes:
      channels: channels of the image.
      dtype: compute dtype.
    """

    channels: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, w: Array) -> Array:
        """Image [B, H, W, channels], float32 at least, of x [B, H, W, C] and w [B, W]."""
        full, fan_in = full_precision(self.dtype), x.shape[-1]
        style = EqualizedDense(fan_in, bias=1.0, dtype=full, name="affine")(w) * fan_in**-0.5
        shape = (1, 1, fan_in, self.channels)
        kernel = self.param("kernel", nn.initializers.normal(1.0), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.channels,))
        return modulated_conv(x, style, kernel, demodulate=False).astype(full) + bias.astype(full)


class SynthesisBlock(nn.Module):
    """The layers of one resolution.

    Attributes:
      features: number of output channels.
      first: whether it is the block at 4x4, which starts from a learned constant.
      last: whether it is the block of the image's resolution.
      channels: channels of the image.
      architecture: see `StyleGAN2Generator`.
      dtype: compute dtype.
    """

    features: int
    first: bool
    last: bool
    channels: int
    architecture: str
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Array | None, image: Array | None, ws: Sequence[Array], noise: Sequence[Array]
    ) -> tuple[Array, Array | None]:
        """(features, image) of those of the resolution below.

        Args:
          x: features [B, H, W, C]; None for the first block.
          image: [B, H, W, channels] or None.
          ws: w [B, W] of each of its layers, then of `ToImage`.
          noise: noise of each of its layers, empty for none.
        """
        residual = self.architecture == "resnet" and not self.first
        noises: Sequence[Array | None] = noise or [None] * (len(ws) - 1)
        if self.first:
            shape = (4, 4, self.features)
            constant = self.param("const", nn.initializers.normal(1.0), shape)
            x = jnp.broadcast_to(constant.astype(self.dtype), (ws[0].shape[0], *shape))
            shortcut = x
        else:
            assert x is not None
            if residual:
                kwargs: dict[str, Any] = dict(use_bias=False, dtype=self.dtype, name="skip")
                skip = EqualizedConv(self.features, 1, **kwargs)
                shortcut = resample.upsample(skip(x)) * SQRT_HALF
            layer = SynthesisLayer(self.features, up=True, dtype=self.dtype, name="conv0")
            x = layer(x, ws[0], noises[0])
        gain = SQRT_HALF if residual else 1.0
        layer = SynthesisLayer(self.features, gain=gain, dtype=self.dtype, name="conv1")
        x = layer(x, ws[-2], noises[-1])
        if residual:
            x = x + shortcut
        if image is not None:
            image = resample.upsample(image)
        if self.last or self.architecture == "skip":
            here = ToImage(self.channels, self.dtype, name="torgb")(x, ws[-1])
            image = here if image is None else image + here
        return x, image


class SynthesisNetwork(nn.Module):
    """The synthesis network; attributes are those of `StyleGAN2Generator`."""

    channels: int
    resolution: int
    architecture: str
    channel_base: int
    channel_max: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, ws: Array, noise: Noise) -> Array:
        """Images of ws [B, L, W] and noise, see `StyleGAN2Generator.synthesize`."""
        x, image, layer = None, None, 0
        for resolution in resolutions_up_to(self.resolution):
            first = resolution == 4
            count = 1 if first else 2
            block = SynthesisBlock(
                features=channels_at(resolution, self.channel_base, self.channel_max),
                first=first,
                last=resolution == self.resolution,
                channels=self.channels,
                architecture=self.architecture,
                dtype=self.dtype,
                name=f"b{resolution}",
            )
            of_block = [ws[:, i] for i in range(layer, layer + count + 1)]
            x, image = block(x, image, of_block, noise[layer : layer + count] if noise else ())
            layer += count
        assert image is not None
        return image


class StyleGAN2Generator(nn.Module):
    """The generator of StyleGAN2: mapping and synthesis network.

    Attributes:
      channels, resolution: of the images, which are square.
      classes: labels are 0..classes-1; 0: unconditional.
      width: size of w.
      layers: number of layers of the mapping network.
      architecture: "orig": the last layer makes the image; "skip": images of every resolution are
        added up; "resnet": residual blocks.
      channel_base, channel_max: channels at resolution r are min(channel_base / r, channel_max).
      multiplier: multiplies the learning rate of the mapping network.
      dtype: compute dtype of the convolutions.
    """

    channels: int
    resolution: int
    classes: int = 0
    width: int = 512
    layers: int = 8
    architecture: str = "skip"
    channel_base: int = 32768
    channel_max: int = 512
    multiplier: float = 0.01
    dtype: Dtype = jnp.float32

    def setup(self) -> None:
        """Create both networks."""
        full = full_precision(self.dtype)
        self.mapping = MappingNetwork(self.width, self.layers, self.multiplier, full)
        self.synthesis = SynthesisNetwork(
            self.channels,
            self.resolution,
            self.architecture,
            self.channel_base,
            self.channel_max,
            self.dtype,
        )

    @property
    def noise_sizes(self) -> tuple[int, ...]:
        """Height and width of the noise image of every layer."""
        return (4, *(r for r in resolutions_up_to(self.resolution)[1:] for _ in range(2)))

    @property
    def num_layers(self) -> int:
        """L, number of w that `synthesize` takes: those of all layers and of the last image."""
        return len(self.noise_sizes) + 1

    def map(self, z: Array, labels: Array) -> Array:
        """w float32 [B, width] of z float32 [B, Z] and labels int32 [B]."""
        condition = jax.nn.one_hot(labels, self.classes) if self.classes else None
        w: Array = self.mapping(z, condition)
        return w

    def synthesize(self, ws: Array, noise: Noise = None) -> Array:
        """Images float32 [B, H, W, channels], not bounded, of one w for each layer.

        Args:
          ws: float32 [B, L, width].
          noise: for each layer, of size r in `noise_sizes`, an image [B, r, r] or one for all
            samples [r, r]; None: no noise.
        """
        images: Array = self.synthesis(ws, noise)
        return images

    def __call__(self, z: Array, labels: Array, noise: Noise = None) -> Array:
        """Images of z [B, Z] and labels int32 [B], see `map` and `synthesize`."""
        w = self.map(z, labels)
        ws = jnp.broadcast_to(w[:, None], (w.shape[0], self.num_layers, w.shape[1]))
        return self.synthesize(ws, noise)


def consistent(module: Any) -> str:
    """Check the attributes of a generator or discriminator, as `Network.consistent`."""
    if module.architecture not in ARCHITECTURES:
        allowed = ", ".join(ARCHITECTURES)
        return f"architecture is {module.architecture!r}; one of {allowed} is needed"
    for name in ("channel_base", "channel_max", "layers"):
        if (value := getattr(module, name)) < 1:
            return f"{name} is {value}; a positive integer is needed"
    if module.channel_base < module.resolution:
        allowed = f"at least the resolution, {module.resolution}, is needed"
        return f"channel_base is {module.channel_base}; {allowed}"
    if not module.multiplier > 0:
        return f"multiplier is {module.multiplier}; a positive number is needed"
    return ""


GENERATOR = Network(
    StyleGAN2Generator,
    square_images,
    fits=fits_powers_of_two,
    consistent=consistent,
    styles=True,
)
