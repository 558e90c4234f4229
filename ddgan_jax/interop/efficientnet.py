"""Published weights of EfficientNet-Lite0 (timm's `tf_efficientnet_lite0`) -> parameters.

Batch norms are folded into the convolutions before them.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from flax import traverse_util

from ddgan_jax.core.types import PyTree, Shape
from ddgan_jax.interop.weight_files import Arrays
from ddgan_jax.networks.efficientnet import LEVELS, STEM, Stage

NETWORK = "timm's tf_efficientnet_lite0"
EPSILON = 1e-3  # of the batch norms
_UNUSED = ("conv_head.", "bn2.", "classifier.")  # layers after the last feature map
_NORM = ("weight", "bias", "running_mean", "running_var")


class Layer(NamedTuple):
    """A convolution with its batch norm.

    Attributes:
      path: where its parameters are, such as "block_0_0/depthwise".
      conv, norm: their names in the file.
      shape: shape of the convolution's weights in the file, (out, in / groups, height, width).
    """

    path: str
    conv: str
    norm: str
    shape: Shape


def layers(levels: tuple[tuple[Stage, ...], ...] = LEVELS, stem: int = STEM) -> Iterator[Layer]:
    """All convolutions of the network, in order."""
    yield Layer("stem", "conv_stem", "bn1", (stem, 3, 3, 3))
    channels = stem
    for number, stage in enumerate(stage for level in levels for stage in level):
        for i in range(stage.blocks):
            inside = channels * stage.expand
            parts = [
                ("expand", "conv_pw", (inside, channels, 1, 1)),
                ("depthwise", "conv_dw", (inside, 1, stage.kernel, stage.kernel)),
                ("project", "conv_pwl", (stage.features, inside, 1, 1)),
            ]
            if stage.expand == 1:
                parts = [parts[1], ("project", "conv_pw", parts[2][2])]
            for j, (part, conv, shape) in enumerate(parts, 1):
                there = f"blocks.{number}.{i}"
                here = f"block_{number}_{i}/{part}"
                yield Layer(here, f"{there}.{conv}", f"{there}.bn{j}", shape)
            channels = stage.features


def shapes(levels: tuple[tuple[Stage, ...], ...] = LEVELS, stem: int = STEM) -> dict[str, Shape]:
    """Names and shapes of the file's arrays that the network needs."""
    found: dict[str, Shape] = {}
    for layer in layers(levels, stem):
        found[f"{layer.conv}.weight"] = layer.shape
        found |= {f"{layer.norm}.{name}": layer.shape[:1] for name in _NORM}
    return found


def used(arrays: Arrays) -> dict[str, np.ndarray]:
    """The arrays of a file without those of its head, and without counters."""
    return {
        name: array
        for name, array in arrays.items()
        if not name.startswith(_UNUSED) and not name.endswith("num_batches_tracked")
    }


def efficientnet_params(
    arrays: Arrays, levels: tuple[tuple[Stage, ...], ...] = LEVELS, stem: int = STEM
) -> PyTree:
    """Parameters of `networks.efficientnet.EfficientNetLite0` from the file's arrays.

    A convolution w and its batch norm are the convolution w s with bias b - m s, where
    s = g / sqrt(v + 1e-3) for the norm's weight g, bias b, mean m and variance v.
    """
    flat = {}
    for layer in layers(levels, stem):
        weight, bias, mean, variance = (
            arrays[f"{layer.norm}.{name}"].astype(np.float64) for name in _NORM
        )
        scale = weight / np.sqrt(variance + EPSILON)
        kernel = arrays[f"{layer.conv}.weight"].transpose(2, 3, 1, 0) * scale
        flat[f"{layer.path}/kernel"] = kernel.astype(np.float32)
        flat[f"{layer.path}/bias"] = (bias - mean * scale).astype(np.float32)
    tree: PyTree = traverse_util.unflatten_dict(flat, "/")
    return tree
