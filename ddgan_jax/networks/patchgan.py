"""Patch discriminator (Isola et al. 2017): one value for each patch of the image."""

import flax.linen as nn
import jax.numpy as jnp

from ddgan_jax.core.types import Array, Shape
from ddgan_jax.networks.entry import Network
from ddgan_jax.networks.layers import Dtype, GroupNorm, conv
from ddgan_jax.networks.resblock import leaky_relu


class PatchDiscriminator(nn.Module):
    """Convolutions 4x4, `layers` of them with stride 2, then two with stride 1.

    Group norm where the published one has batch norm: what a patch is worth does not depend on the
    rest of the batch, nor on how that is split over devices.

    Attributes:
      width: channels of the first convolution; doubled by each further one, up to 8 times.
      layers: that halve; 3 sees patches of 70x70 pixels, 0 of 7x7 (for tiny images).
    """

    width: int
    layers: int
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Image [B, H, W, C], H and W at least 3 * 2^layers -> float32 [B, h, w]."""
        kwargs = dict(padding=((1, 1), (1, 1)), param_dtype=self.param_dtype)
        h = x.astype(self.dtype)
        for i in range(self.layers + 1):
            features = self.width * 2 ** min(i, 3)
            stride = 2 if i < self.layers else 1
            h = conv(features, 4, strides=stride, name=f"conv_{i}", dtype=self.dtype, **kwargs)(h)
            if i > 0:
                norm = GroupNorm(dtype=self.dtype, param_dtype=self.param_dtype, name=f"norm_{i}")
                h = norm(h)
            h = leaky_relu(h)
        out = conv(1, 4, name="conv_out", dtype=jnp.float32, **kwargs)
        return out(h.astype(jnp.float32))[..., 0]


def _fits(module: PatchDiscriminator, shape: Shape) -> str:
    smallest = 3 * 2**module.layers
    if min(shape[:2]) >= smallest:
        return ""
    return (
        f"needs images of at least {smallest} pixels with config.disc.layers = {module.layers}; "
        f"these are {shape[0]}x{shape[1]}, fewer layers are needed"
    )


DISCRIMINATOR = Network(PatchDiscriminator, fits=_fits)
