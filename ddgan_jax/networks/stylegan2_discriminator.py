"""Discriminator of Diffusion-StyleGAN2: that of StyleGAN2, given the time by projection.

Karras et al. 2020, arXiv 1912.04958; Wang et al. 2022, arXiv 2206.02262.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ddgan_jax.core.types import Array
from ddgan_jax.networks import resample
from ddgan_jax.networks.entry import Network, fits_powers_of_two
from ddgan_jax.networks.layers import SQRT_HALF, Dtype, full_precision, minibatch_stddev
from ddgan_jax.networks.stylegan2_generator import consistent
from ddgan_jax.networks.stylegan2_layers import (
    EqualizedConv,
    EqualizedDense,
    MappingNetwork,
    activation,
    channels_at,
    resolutions_up_to,
)


class DiscriminatorBlock(nn.Module):
    """[image to features,] conv, halving conv; *resnet* with a 1x1 shortcut, both times sqrt 1/2.

    Attributes:
      inside, features: channels before and after the second convolution.
      architecture: see `StyleGAN2Discriminator`.
      dtype: compute dtype.
    """

    inside: int
    features: int
    architecture: str
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array | None, image: Array | None) -> tuple[Array, Array | None]:
        """(features [B, H/2, W/2, features], image at that resolution or None).

        x is None in the first block, which makes features of the image; so does every block with
        `architecture` "skip", and adds them to x.
        """
        kwargs: dict[str, Any] = dict(dtype=self.dtype)
        if image is not None:
            seen = activation(EqualizedConv(self.inside, 1, name="fromrgb", **kwargs)(image))
            x = seen if x is None else x + seen
            image = resample.downsample(image) if self.architecture == "skip" else None
        assert x is not None
        residual = self.architecture == "resnet"
        h = activation(EqualizedConv(self.inside, 3, name="conv0", **kwargs)(x))
        h = EqualizedConv(self.features, 3, down=True, name="conv1", **kwargs)(h)
        h = activation(h, SQRT_HALF if residual else 1.0)
        if residual:
            skip = EqualizedConv(self.features, 1, down=True, use_bias=False, name="skip", **kwargs)
            h = skip(x) * SQRT_HALF + h
        return h, image


class Epilogue(nn.Module):
    """Minibatch standard deviation, conv, two dense layers; at 4x4, float32 at least.

    Attributes:
      width: channels at 4x4.
      features: size of the output.
      group: group size of the standard deviation.
      dtype: compute dtype of the layers before.
    """

    width: int
    features: int
    group: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, image: Array | None) -> Array:
        """Features [B, features] of x [B, 4, 4, width] and, if not None, the image at 4x4."""
        full = full_precision(self.dtype)
        x = x.astype(full)
        if image is not None:
            x = x + activation(EqualizedConv(self.width, 1, dtype=full, name="fromrgb")(image))
        x = minibatch_stddev(x, self.group)
        x = activation(EqualizedConv(self.width, 3, dtype=full, name="conv")(x))
        x = x.reshape(x.shape[0], -1)
        x = activation(EqualizedDense(self.width, dtype=full, name="fc")(x))
        out: Array = EqualizedDense(self.features, dtype=full, name="out")(x)
        return out


class StyleGAN2Discriminator(nn.Module):
    """Discriminator D(x, t) -> logits, one per sample or one per class.

    The condition, one-hot class and the number t, goes through a mapping network to a vector; the
    logit is its inner product with the features of the image, divided by the square root of their
    number. All classes are scored, and the method selects one, which is the same as scoring the
    sample's class; mapping all of them is cheap up to some hundred classes.

    Attributes:
      resolution: height and width of the images.
      classes: number of logits per sample, one for each class; 0: a single logit.
      architecture: "orig"; "resnet": residual blocks; "skip": the image at every resolution.
      channel_base, channel_max: channels at resolution r are min(channel_base / r, channel_max).
      layers: number of layers of the mapping network.
      group: group size of the minibatch standard deviation.
      timed: whether t is part of the condition; a GAN without diffusion needs none.
      multiplier: multiplies the learning rate of the mapping network.
      dtype: compute dtype of the convolutions.
    """

    resolution: int
    classes: int = 0
    architecture: str = "resnet"
    channel_base: int = 32768
    channel_max: int = 512
    layers: int = 8
    group: int = 4
    timed: bool = True
    multiplier: float = 0.01
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x_t: Array, t: Array, x_next: Array) -> Array:
        """Logits [B] or [B, classes] of x_t, x_next float32 [B, H, W, C] and t int32 [B]."""
        full = full_precision(self.dtype)

        def channels(resolution: int) -> int:
            return channels_at(resolution, self.channel_base, self.channel_max)

        image: Array | None = jnp.concatenate([x_t, x_next], axis=-1)
        x = None
        for resolution in reversed(resolutions_up_to(self.resolution)[1:]):
            block = DiscriminatorBlock(
                channels(resolution),
                channels(resolution // 2),
                self.architecture,
                self.dtype,
                name=f"b{resolution}",
            )
            x, image = block(x, image)
        width = channels(4)
        conditional = self.classes > 0 or self.timed
        epilogue = Epilogue(width, width if conditional else 1, self.group, self.dtype, name="b4")
        assert x is not None
        features = epilogue(x, image)
        if not conditional:
            return features[:, 0]
        condition = _conditions(t.astype(full), self.classes, self.timed)
        mapped = MappingNetwork(width, self.layers, self.multiplier, full, name="mapping")(
            None, condition
        )
        logits: Array = jnp.sum(features[:, None] * mapped, axis=-1) * width**-0.5
        return logits if self.classes else logits[:, 0]


def _conditions(t: Array, classes: int, timed: bool) -> Array:
    """One-hot class and t of every class, [B, max(classes, 1), classes + timed]."""
    shape = (t.shape[0], max(classes, 1))
    parts = [jnp.broadcast_to(jax.nn.one_hot(jnp.arange(shape[1]), classes), (*shape, classes))]
    if timed:
        parts.append(jnp.broadcast_to(t[:, None, None], (*shape, 1)))
    return jnp.concatenate([part.astype(t.dtype) for part in parts], axis=-1)


DISCRIMINATOR = Network(
    StyleGAN2Discriminator,
    lambda shape: {"resolution": shape[0]},
    fits=fits_powers_of_two,
    consistent=consistent,
    stddev_group=lambda module: module.group,
)
