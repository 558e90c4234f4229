"""The convolutions of VGG16 (Simonyan and Zisserman 2015), with the five outputs LPIPS uses."""

import flax.linen as nn
import jax

from ddgan_jax.core.types import Array

# (width, number of convolutions) of each stage; a 2x2 max pool lies between two stages.
STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


class VGG16(nn.Module):
    """VGG16 without its dense layers; parameters are Conv_0..Conv_12."""

    @nn.compact
    def __call__(self, x: Array) -> list[Array]:
        """The outputs relu1_2, 2_2, 3_3, 4_3 and 5_3.

        Args:
          x: normalized images, float32 [B, H, W, 3], at least 16x16.

        Returns:
          Five arrays; number i is float32 [B, H / 2^i, W / 2^i, width_i], sizes rounded down.
        """
        outputs: list[Array] = []
        for width, convolutions in STAGES:
            if outputs:
                x = nn.max_pool(x, (2, 2), strides=(2, 2))
            for _ in range(convolutions):
                conv = nn.Conv(width, (3, 3), precision=jax.lax.Precision.HIGHEST)
                x = nn.relu(conv(x))
            outputs.append(x)
        return outputs
