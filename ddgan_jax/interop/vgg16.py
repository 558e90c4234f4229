"""Published weights of VGG16: torchvision's file and TorchScript modules -> arrays by name.

`python -m ddgan_jax vgg16` rewrites a file as an .npz with torchvision's names and layouts.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import PyTree, Shape
from ddgan_jax.interop.weight_files import Arrays, check_arrays, content_hash, read_arrays
from ddgan_jax.networks.vgg import DENSE, SIZE, STAGES

NETWORK = "torchvision's VGG16"
CONVOLUTIONS_HASH = "d649de3c8126095c"  # `content_hash` of torchvision's convolutions
_INDEX = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # convolutions of `features`
_DENSE_INDEX = (0, 3)  # the first two dense layers of `classifier`
# A TorchScript module that others publish names its layers so; `fc3` has the classes.
_SCRIPTED = re.compile(r"layers\.(conv|fc)(\d+)\.(weight|bias)")


def widths(stages: Sequence[tuple[int, int]] = STAGES) -> list[tuple[int, int]]:
    """(input channels, output channels) of each convolution."""
    outputs = [width for width, convolutions in stages for _ in range(convolutions)]
    return list(itertools.pairwise([3, *outputs]))


def convolution_shapes(stages: Sequence[tuple[int, int]] = STAGES) -> dict[str, Shape]:
    """Names and shapes of torchvision's convolutions, as (out, in, height, width)."""
    found: dict[str, Shape] = {}
    for i, (inputs, outputs) in zip(_INDEX, widths(stages), strict=True):
        found |= {f"features.{i}.weight": (outputs, inputs, 3, 3), f"features.{i}.bias": (outputs,)}
    return found


def shapes(stages: Sequence[tuple[int, int]] = STAGES, dense: int = DENSE) -> dict[str, Shape]:
    """Names and shapes of torchvision's layers up to the second dense one, as (out, in, ...)."""
    found = convolution_shapes(stages)
    inputs = stages[-1][0] * (SIZE >> len(stages)) ** 2
    for i in _DENSE_INDEX:
        found |= {f"classifier.{i}.weight": (dense, inputs), f"classifier.{i}.bias": (dense,)}
        inputs = dense
    return found


def convolutions(arrays: Arrays) -> dict[str, np.ndarray]:
    """Parameters of `networks.vgg.VGG16` by path, from torchvision's arrays."""
    found = {}
    for i, index in enumerate(_INDEX):
        found[f"Conv_{i}/kernel"] = arrays[f"features.{index}.weight"].transpose(2, 3, 1, 0)
        found[f"Conv_{i}/bias"] = arrays[f"features.{index}.bias"]
    return found


def vgg16_params(arrays: Arrays) -> PyTree:
    """Parameters of `networks.vgg.VGG16Dense` from torchvision's arrays.

    The first dense layer sees rows, columns, channels here, and channels, rows, columns there.
    """
    flat = {f"VGG16_0/{path}": array for path, array in convolutions(arrays).items()}
    channels = len(arrays[f"features.{_INDEX[-1]}.bias"])
    for i, index in enumerate(_DENSE_INDEX):
        weight = arrays[f"classifier.{index}.weight"]
        if i == 0:
            side = round((weight.shape[1] // channels) ** 0.5)
            weight = weight.reshape(-1, channels, side, side).transpose(0, 2, 3, 1)
        flat[f"Dense_{i}/kernel"] = weight.reshape(len(weight), -1).T
        flat[f"Dense_{i}/bias"] = arrays[f"classifier.{index}.bias"]
    tree: PyTree = traverse_util.unflatten_dict({k: jnp.asarray(v) for k, v in flat.items()}, "/")
    return tree


def _torchvision_names(arrays: Arrays) -> Mapping[str, np.ndarray]:
    """The same arrays by torchvision's names, if the names are those of a TorchScript module."""
    matches = {name: _SCRIPTED.fullmatch(name) for name in arrays}
    if not any(matches.values()):
        return arrays
    indices = {"conv": _INDEX, "fc": (*_DENSE_INDEX, 6)}
    found: dict[str, Any] = {}
    for name, match in matches.items():
        if match and 0 < int(match[2]) <= len(indices[match[1]]):
            part = "features" if match[1] == "conv" else "classifier"
            found[f"{part}.{indices[match[1]][int(match[2]) - 1]}.{match[3]}"] = arrays[name]
    return found


def read_vgg16(path: Path) -> dict[str, np.ndarray]:
    """Read and check VGG16's arrays of an .npz, a PyTorch file or a TorchScript module.

    The layer of the classes is dropped. Images must be normalized as the weights expect, so only
    torchvision's weights are accepted, in whatever form: those of the first publication take
    other images.

    Raises:
      UserError: the file is damaged, an array is missing, unknown or of another shape, or the
        weights are not torchvision's.
    """
    arrays = _torchvision_names(read_arrays(path))
    arrays = {k: v for k, v in arrays.items() if not k.startswith("classifier.6.")}
    check_arrays(arrays, shapes(), path, NETWORK)
    found = content_hash({name: arrays[name] for name in convolution_shapes()})
    if found != CONVOLUTIONS_HASH:
        raise UserError(
            f"{path}: a VGG16 with other weights than torchvision's vgg16-397923af.pth, so the "
            f"images that it takes are not known (hash of its convolutions: {found})"
        )
    return arrays
