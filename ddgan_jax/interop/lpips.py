"""Convert the published weights of LPIPS-VGG v0.1 to one .npz: `python -m ddgan_jax lpips`."""

from pathlib import Path

import numpy as np

from ddgan_jax.core.types import Shape
from ddgan_jax.interop.vgg16 import convolution_shapes, convolutions, widths
from ddgan_jax.interop.weight_files import Arrays, check_arrays, read_arrays
from ddgan_jax.networks.vgg import STAGES

NETWORK = "LPIPS-VGG v0.1"


def shapes() -> dict[str, Shape]:
    """Names and shapes of the .npz's arrays, convolutions as (height, width, in, out)."""
    found: dict[str, Shape] = {}
    for i, (inputs, outputs) in enumerate(widths()):
        found[f"VGG16_0/Conv_{i}/kernel"] = (3, 3, inputs, outputs)
        found[f"VGG16_0/Conv_{i}/bias"] = (outputs,)
    for i, (width, _) in enumerate(STAGES):
        found[f"NetLinLayer_{i}/Conv_0/kernel"] = (1, 1, width, 1)
    return found


def head_shapes() -> dict[str, Shape]:
    """Names and shapes of the linear heads, as (out, in, height, width)."""
    return {f"lin{i}.model.1.weight": (1, width, 1, 1) for i, (width, _) in enumerate(STAGES)}


def lpips_arrays(vgg: Arrays, heads: Arrays) -> dict[str, np.ndarray]:
    """The .npz's arrays from those of torchvision's VGG16 and of the LPIPS heads."""
    arrays = {f"VGG16_0/{path}": array for path, array in convolutions(vgg).items()}
    for i in range(len(STAGES)):
        head = heads[f"lin{i}.model.1.weight"]
        arrays[f"NetLinLayer_{i}/Conv_0/kernel"] = head.transpose(2, 3, 1, 0)
    return arrays


def read_published(vgg_file: Path, heads_file: Path) -> dict[str, np.ndarray]:
    """Read and check the two published files, and convert them to the .npz's arrays.

    Args:
      vgg_file: torchvision's VGG16.
      heads_file: the heads of LPIPS v0.1.

    Raises:
      UserError: a file is damaged, or an array is missing, unknown or of another shape.
    """
    vgg, heads = read_arrays(vgg_file), read_arrays(heads_file)
    vgg = {k: v for k, v in vgg.items() if not k.startswith("classifier.")}
    check_arrays(vgg, convolution_shapes(), vgg_file, "torchvision's VGG16")
    check_arrays(heads, head_shapes(), heads_file, f"the heads of {NETWORK}")
    return lpips_arrays(vgg, heads)
