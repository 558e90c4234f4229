"""EfficientNet-Lite0 (Tan and Le 2019, arXiv 1905.11946), the feature network of Projected GAN.

The network never trains, so its batch norms are folded into the convolutions before them
(`interop.efficientnet`): what is left are convolutions with biases and ReLU6.
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from ddgan_jax.core.types import Array
from ddgan_jax.networks.layers import Conv, Dtype, full_precision, init_scale

STEM = 32  # channels of the first convolution


class Stage(NamedTuple):
    """Blocks of the same width.

    Attributes:
      kernel: size of the depthwise convolutions.
      stride: stride of the first block.
      expand: channels inside of a block, as a multiple of those of its input.
      features: channels of the output.
      blocks: number of blocks.
    """

    kernel: int
    stride: int
    expand: int
    features: int
    blocks: int


# The stages of each level, whose last output is a feature map; level i has 1 / 2^(i + 2) of the
# image's resolution.
LEVELS = (
    (Stage(3, 1, 1, 16, 1), Stage(3, 2, 6, 24, 2)),
    (Stage(5, 2, 6, 40, 2),),
    (Stage(3, 2, 6, 80, 3), Stage(5, 1, 6, 112, 3)),
    (Stage(5, 2, 6, 192, 4), Stage(3, 1, 6, 320, 1)),
)

# The same resolutions and channels with one narrow block for each feature map, for random features.
SHORT_LEVELS = (
    (Stage(3, 2, 2, 24, 1),),
    (Stage(5, 2, 2, 40, 1),),
    (Stage(3, 2, 2, 112, 1),),
    (Stage(5, 2, 2, 320, 1),),
)


class Depthwise(nn.Module):
    """A convolution of each channel by itself, with bias and padding "SAME".

    It is a sum of shifted products, because XLA's gradient of grouped convolutions is slow on CPU.

    Attributes:
      kernel: size of the square kernel.
      stride: stride along both axes.
      dtype: compute dtype.
    """

    kernel: int
    stride: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[B, H / stride, W / stride, C] of x [B, H, W, C]."""
        shape = (self.kernel, self.kernel, 1, x.shape[-1])
        full = full_precision(self.dtype)
        kernel = self.param("kernel", init_scale(1.0), shape).astype(self.dtype).astype(full)
        bias = self.param("bias", nn.initializers.zeros, shape[-1:]).astype(full)
        size = [-(-length // self.stride) for length in x.shape[1:3]]
        missing = [
            max((count - 1) * self.stride + self.kernel - length, 0)
            for count, length in zip(size, x.shape[1:3], strict=True)
        ]
        padding = [(0, 0), *((n // 2, n - n // 2) for n in missing), (0, 0)]
        x = jnp.pad(x.astype(self.dtype), padding)
        reach = [(count - 1) * self.stride + 1 for count in size]
        total = jnp.broadcast_to(bias, (x.shape[0], *size, x.shape[-1]))
        for i in range(self.kernel):
            for j in range(self.kernel):
                rows = slice(i, i + reach[0], self.stride)
                columns = slice(j, j + reach[1], self.stride)
                total = total + x[:, rows, columns].astype(full) * kernel[i, j, 0]
        return total.astype(self.dtype)


class InvertedResidual(nn.Module):
    """[1x1 convolution, ReLU6,] depthwise convolution, ReLU6, 1x1 convolution; plus the input.

    The input is added where shapes allow it. Without expansion there is no first convolution.
    """

    stage: Stage
    stride: int
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[B, H / stride, W / stride, features] of x [B, H, W, C]."""
        h, inside = x, x.shape[-1] * self.stage.expand
        if self.stage.expand > 1:
            h = nn.relu6(Conv(inside, 1, dtype=self.dtype, name="expand")(h))
        depthwise = Depthwise(self.stage.kernel, self.stride, self.dtype, name="depthwise")
        h = nn.relu6(depthwise(h))
        h = Conv(self.stage.features, 1, dtype=self.dtype, name="project")(h)
        return x + h if x.shape == h.shape else h


class EfficientNetLite0(nn.Module):
    """The convolutions of EfficientNet-Lite0 up to its last block.

    Attributes:
      levels: the stages of each level.
      stem: channels of the first convolution.
      dtype: compute dtype.
    """

    levels: tuple[tuple[Stage, ...], ...] = LEVELS
    stem: int = STEM
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, ...]:
        """Feature maps, one for each level.

        Args:
          x: images, float32 [B, H, W, 3] in [-1, 1]; H and W are multiples of 32.

        Returns:
          Level i, in `dtype`, [B, H / 2^(i + 2), W / 2^(i + 2), channels_i]; the published network
          has 24, 40, 112 and 320 channels.
        """
        x = nn.relu6(Conv(self.stem, 3, strides=2, dtype=self.dtype, name="stem")(x))
        outputs = []
        number = 0
        for level in self.levels:
            for stage in level:
                for i in range(stage.blocks):
                    stride = stage.stride if i == 0 else 1
                    block = InvertedResidual(stage, stride, self.dtype, name=f"block_{number}_{i}")
                    x = block(x)
                number += 1
            outputs.append(x)
        return tuple(outputs)
