"""VGG16 (Simonyan and Zisserman 2015): the five outputs LPIPS uses, and the second dense layer."""

import flax.linen as nn
import jax

from ddgan_jax.core.types import Array

# (width, number of convolutions) of each stage; a 2x2 max pool lies between two stages.
STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
SIZE = 224  # height and width of the images that the dense layers need
DENSE = 4096  # width of the two dense layers before the classes


class VGG16(nn.Module):
    """VGG16 without its dense layers; parameters are Conv_0..Conv_12.

    Attributes:
      stages: (width, number of convolutions) of each stage.
    """

    stages: tuple[tuple[int, int], ...] = STAGES

    @nn.compact
    def __call__(self, x: Array) -> list[Array]:
        """The outputs relu1_2, 2_2, 3_3, 4_3 and 5_3.

        Args:
          x: normalized images, float32 [B, H, W, 3], at least 16x16.

        Returns:
          Five arrays; number i is float32 [B, H / 2^i, W / 2^i, width_i], sizes rounded down.
        """
        outputs: list[Array] = []
        for width, convolutions in self.stages:
            if outputs:
                x = nn.max_pool(x, (2, 2), strides=(2, 2))
            for _ in range(convolutions):
                conv = nn.Conv(width, (3, 3), precision=jax.lax.Precision.HIGHEST)
                x = nn.relu(conv(x))
            outputs.append(x)
        return outputs


class VGG16Dense(nn.Module):
    """VGG16 up to its second dense layer; parameters are VGG16_0, Dense_0 and Dense_1.

    Attributes:
      stages: (width, number of convolutions) of each stage.
      dense: width of the dense layers.
    """

    stages: tuple[tuple[int, int], ...] = STAGES
    dense: int = DENSE

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The output of the second dense layer after its ReLU.

        Args:
          x: normalized images, float32 [B, 224, 224, 3].

        Returns:
          float32 [B, dense].
        """
        x = nn.max_pool(VGG16(self.stages)(x)[-1], (2, 2), strides=(2, 2))
        x = x.reshape(len(x), -1)
        for _ in range(2):
            x = nn.relu(nn.Dense(self.dense, precision=jax.lax.Precision.HIGHEST)(x))
        return x
