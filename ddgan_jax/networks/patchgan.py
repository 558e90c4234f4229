"""PatchGAN discriminator (Isola et al. 2017): one logit for each patch of the image."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from ddgan_jax.core.types import Array, Shape
from ddgan_jax.networks.entry import Network, not_images
from ddgan_jax.networks.layers import Dtype, GroupNorm, conv
from ddgan_jax.networks.resblock import leaky_relu


class PatchDiscriminator(nn.Module):
    """Discriminator of patches: `layers` 4x4 convolutions of stride 2, then two of stride 1.

    It has group norm in place of the published batch norm, so that the logits of an image do not
    depend on the rest of the batch or on its distribution over devices.

    Attributes:
      width: channels of the first convolution; each further one doubles them, up to 8 `width`.
      layers: number of convolutions of stride 2; with 3 a patch has 70x70 pixels, with 0 it has
        7x7 (for very small images).
      dtype: compute dtype.
    """

    width: int
    layers: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Logits float32 [B, h, w] of images x [B, H, W, C]; H and W are at least 3 * 2^layers."""
        padding: dict[str, Any] = dict(padding=((1, 1), (1, 1)))
        h = x.astype(self.dtype)
        for i in range(self.layers + 1):
            features = self.width * 2 ** min(i, 3)
            stride = 2 if i < self.layers else 1
            layer = conv(features, 4, strides=stride, dtype=self.dtype, name=f"conv_{i}", **padding)
            h = layer(h)
            if i > 0:
                h = GroupNorm(dtype=self.dtype, name=f"norm_{i}")(h)
            h = leaky_relu(h)
        out = conv(1, 4, name="conv_out", dtype=jnp.float32, **padding)
        logits: Array = out(h.astype(jnp.float32))[..., 0]
        return logits


def _fits(module: PatchDiscriminator, shape: Shape) -> str:
    if refused := not_images(shape):
        return refused
    smallest = 3 * 2**module.layers
    if min(shape[:2]) >= smallest:
        return ""
    return (
        f"needs images of at least {smallest} pixels with config.disc.layers = {module.layers}; "
        f"the images have {shape[0]}x{shape[1]}, fewer layers are needed"
    )


DISCRIMINATOR = Network(PatchDiscriminator, fits=_fits)
