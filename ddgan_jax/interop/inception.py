"""Convert the published weights of the FID's Inception-v3 to parameters of `networks.inception`.

`python -m ddgan_jax inception` rewrites the PyTorch file as an .npz with the same names and
layouts.
"""

import functools
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from ddgan_jax.core.types import PyTree, Shape
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
def _kernels() -> Mapping[str, Shape]:
    """Dotted name of each convolution -> shape of its kernel, (height, width, in, out)."""
    image = jax.ShapeDtypeStruct((1, 75, 75, 3), jnp.float32)
    tree = jax.eval_shape(Inception().init, jax.random.key(0), image)["params"]
    flat = traverse_util.flatten_dict(tree, sep=".")
    return {k.removesuffix(".kernel"): v.shape for k, v in flat.items() if k.endswith(".kernel")}


def published_shapes(*, classifier: bool) -> dict[str, Shape]:
    """Names and shapes of the published arrays.

    Args:
      classifier: include the classifier, `fc`.

    Returns:
      Name -> shape, convolutions as (out, in, height, width).
    """
    shapes: dict[str, Shape] = {}
    for name, (height, width, inputs, outputs) in _kernels().items():
        shapes[f"{name}.conv.weight"] = (outputs, inputs, height, width)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{part}"] = (outputs,)
    return shapes | (_CLASSIFIER if classifier else {})


def read_inception(path: Path) -> dict[str, np.ndarray]:
    """Read and check the published arrays of an .npz or PyTorch file.

    The counters of batch norms (`num_batches_tracked`) are dropped; the classifier is optional.

    Raises:
      UserError: the file is damaged, or an array is missing, unknown or of another shape.
    """
    arrays = {k: v for k, v in read_arrays(path).items() if not k.endswith(".num_batches_tracked")}
    classifier = any(name in arrays for name in _CLASSIFIER)
    check_arrays(arrays, published_shapes(classifier=classifier), path, NETWORK)
    return arrays


def inception_params(arrays: Arrays) -> dict[str, PyTree]:
    """Parameters of `Inception` from the published arrays.

    Each batch norm, gamma (y - mean) / sqrt(var + eps) + beta of a convolution's output y, is
    folded into the convolution.

    Args:
      arrays: result of `read_inception`.

    Returns:
      {"network": parameters of `Inception`, "classifier": float32 [2048, 1008]}. "classifier" is
      present if `fc.weight` is; `fc.bias` is not used, see `features.inception`.
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
