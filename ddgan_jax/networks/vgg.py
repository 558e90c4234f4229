"""The convolutions of VGG16, tapped where LPIPS looks."""

import flax.linen as nn
import jax

from ddgan_jax.core.types import Array

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # width, convolutions; pools between


class VGG16(nn.Module):
    """Normalised images [B, H, W, 3], at least 16x16 -> relu1_2, 2_2, 3_3, 4_3, 5_3.

    Tap i is float32 [B, H / 2^i, W / 2^i, width_i], rounded down. Parameters are Conv_0..Conv_12.
    """

    @nn.compact
    def __call__(self, x: Array) -> list[Array]:
        """As the class says."""
        taps: list[Array] = []
        for width, convolutions in STAGES:
            if taps:
                x = nn.max_pool(x, (2, 2), strides=(2, 2))
            for _ in range(convolutions):
                conv = nn.Conv(width, (3, 3), precision=jax.lax.Precision.HIGHEST)
                x = nn.relu(conv(x))
            taps.append(x)
        return taps
