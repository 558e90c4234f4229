"""Published weights of the FID's Inception-v3 -> parameters of `networks.inception`.

`python -m ddgan_jax inception` rewrites the PyTorch file as an .npz, names and layouts kept.
"""

import functools
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from ddgan_jax.core.types import PyTree
from ddgan_jax.interop.weight_files import (
    Arrays,
    check_arrays,
    read_arrays,
)
from ddgan_jax.networks.inception import FEATURES, Inception

NETWORK = "the FID's Inception-v3 of 2015-12-05"
CLASSES = 1008
BATCH_NORM_EPS = 1e-3
_CLASSIFIER = {"fc.weight": (CLASSES, FEATURES), "fc.bias": (CLASSES,)}


@functools.cache
def _kernels() -> Mapping[str, tuple[int, ...]]:
    """Dotted name of each convolution -> shape (height, width, in, out) of its kernel."""
    image = jax.ShapeDtypeStruct((1, 75, 75, 3), jnp.float32)
    tree = jax.eval_shape(Inception().init, jax.random.key(0), image)["params"]
    flat = traverse_util.flatten_dict(tree, sep=".")
    return {k.removesuffix(".kernel"): v.shape for k, v in flat.items() if k.endswith(".kernel")}


def published_shapes(*, classifier: bool) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the published arrays (convolutions O I H W), with or without `fc`."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (height, width, inputs, outputs) in _kernels().items():
        shapes[f"{name}.conv.weight"] = (outputs, inputs, height, width)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{part}"] = (outputs,)
    return shapes | (_CLASSIFIER if classifier else {})


def read_inception(path: Path) -> dict[str, np.ndarray]:
    """The published arrays of an .npz or PyTorch file, checked, without batch counters.

    Raises:
      UserError: the file is damaged, or an array is missing, left over or of another shape.
    """
    arrays = {k: v for k, v in read_arrays(path).items() if not k.endswith(".num_batches_tracked")}
    classifier = any(name in arrays for name in _CLASSIFIER)
    check_arrays(arrays, published_shapes(classifier=classifier), path, NETWORK)
    return arrays


def inception_params(arrays: Arrays) -> dict[str, PyTree]:
    """Published arrays -> {"network": parameters of `Inception`, "classifier": [2048, 1008]}.

    Each batch norm, gamma (y - mean) / sqrt(var + eps) + beta of the convolution's y, becomes part
    of the convolution. "classifier" is there if `fc.weight` is; `fc.bias` is not used, see
    `metrics.inception`.

    Args:
      arrays: as from `read_inception`.
    """
    flat = {}
    for name in _kernels():
        gamma, beta, mean, var = (
            arrays[f"{name}.bn.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(var + BATCH_NORM_EPS)
        kernel = arrays[f"{name}.conv.weight"].transpose(2, 3, 1, 0) * scale
        flat[f"{name}.kernel"] = kernel.astype(np.float32)
        flat[f"{name}.bias"] = (beta - mean * scale).astype(np.float32)
    params = {"network": traverse_util.unflatten_dict(flat, sep=".")}
    if "fc.weight" in arrays:
        params["classifier"] = arrays["fc.weight"].T
    return params
