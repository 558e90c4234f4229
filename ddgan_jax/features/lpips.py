"""LPIPS: a perceptual distance of two images (Zhang et al. 2018, version 0.1, VGG16)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Array, PyTree
from ddgan_jax.interop.lpips import NETWORK, shapes
from ddgan_jax.interop.weight_files import check_arrays, content_hash, locate, read_arrays
from ddgan_jax.networks.vgg import VGG16

SMALLEST = 16  # pixels: four poolings leave one
_SHIFT = (-0.030, -0.088, -0.188)  # from [-1, 1] to the inputs that VGG16 was trained on
_SCALE = (0.458, 0.448, 0.450)
_EPS = 1e-10
_WHERE = ("DDGAN_LPIPS", "lpips_vgg16.npz")  # variable, and name in the cache
_ADVICE = (
    "fetch torchvision's vgg16-397923af.pth and weights/v0.1/vgg.pth of the LPIPS project, and run "
    "python -m ddgan_jax lpips --vgg=vgg16-397923af.pth --heads=vgg.pth --out={path}"
)


class Lpips(NamedTuple):
    """Attributes:
    params: frozen weights, an argument of `apply` (never a captured constant).
    weights_hash: first 16 hexadecimal digits of the sha256 of the weights.
    apply: `distance`.
    """

    params: PyTree
    weights_hash: str
    apply: Callable[[PyTree, Array, Array], Array]


def _unit(x: Array) -> Array:
    """X / (|x| + eps) over channels; where x is 0 so is the result, and the gradient is finite."""
    squared = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    return x / (jnp.sqrt(jnp.maximum(squared, 1e-30)) + _EPS)


def distance(params: PyTree, a: Array, b: Array) -> Array:
    """d(a, b) = sum_l mean_{h,w} w_l . (u_l(a) - u_l(b))^2 (eq. 1), u_l the taps at unit length.

    Differentiable in a and b.

    Args:
      params: weights, by the names of the .npz.
      a, b: float32 [B, H, W, 3] in [-1, 1], H and W at least 16.

    Returns:
      Float32 [B].

    Raises:
      UserError: images of other shapes or dtypes.
    """
    for x in (a, b):
        if x.ndim != 4 or x.shape[-1] != 3 or x.dtype != jnp.float32 or x.shape != a.shape:
            raise UserError(
                f"LPIPS was given images {a.dtype} {a.shape} and {b.dtype} {b.shape}; "
                "allowed: two float32 [B, H, W, 3] of one shape"
            )
    if min(a.shape[1:3]) < SMALLEST:
        raise UserError(
            f"LPIPS was given images of {a.shape[1]}x{a.shape[2]} pixels; "
            f"allowed: {SMALLEST}x{SMALLEST} or more"
        )
    shift, scale = jnp.asarray(_SHIFT, jnp.float32), jnp.asarray(_SCALE, jnp.float32)
    # Two passes, not one over both: in training one of the two needs no gradient.
    taps_a, taps_b = (
        VGG16().apply({"params": params["VGG16_0"]}, (x - shift) / scale) for x in (a, b)
    )
    total = jnp.zeros(a.shape[0], jnp.float32)
    for i, (tap_a, tap_b) in enumerate(zip(taps_a, taps_b, strict=True)):
        head = params[f"NetLinLayer_{i}"]["Conv_0"]["kernel"][0, 0, :, 0]
        difference = jnp.square(_unit(tap_a) - _unit(tap_b))
        total = total + jnp.sum(difference * head, axis=-1).mean(axis=(1, 2))
    return total


def distances(lpips: Lpips, a: np.ndarray, b: np.ndarray, batch_size: int = 32) -> np.ndarray:
    """LPIPS of each pair of images on the host, `batch_size` at a time; grey is shown as colour.

    Args:
      lpips: the network.
      a, b: float32 [N, H, W, 1 or 3] in [-1, 1], H and W at least 16.
      batch_size: pairs per call of the network.

    Returns:
      Float32 [N].
    """
    apply, size = jax.jit(lpips.apply), min(batch_size, len(a))
    parts = []
    for start in range(0, len(a), size):
        pair = (x[start : start + size] for x in (a, b))
        # The last rows are repeated: one compilation.
        filled = (np.resize(x, (size, *x.shape[1:])) for x in pair)
        coloured = (np.broadcast_to(x, (*x.shape[:-1], 3)) for x in filled)
        parts.append(np.asarray(apply(lpips.params, *coloured)))
    return np.concatenate(parts)[: len(a)]


def lpips_for(shape: tuple[int, ...]) -> tuple[Lpips | None, str]:
    """LPIPS with the weights of `load_lpips("")` if images of `shape` have one, and words.

    Args:
      shape: (H, W, C) of an image.

    Returns:
      (network, protocol), or (None, why not): images too small, or no file of weights.

    Raises:
      UserError: the file of weights is damaged, or another network's.
    """
    if min(shape[:2]) < SMALLEST:
        return None, f"none: {shape[0]}x{shape[1]} pixels, at least {SMALLEST}x{SMALLEST} needed"
    try:
        file = locate("", *_WHERE, _ADVICE)
    except UserError as error:
        return None, f"none: {error}"
    lpips = load_lpips(str(file))
    grey = ", grey shown as colour" if shape[2] == 1 else ""
    return lpips, f"{NETWORK}, weights {lpips.weights_hash}{grey}"


def lpips_shapes() -> PyTree:
    """Shapes of `Lpips.params`."""
    arrays = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes().items()}
    return traverse_util.unflatten_dict(arrays, sep="/")


def load_lpips(path: str) -> Lpips:
    """LPIPS with the published weights.

    Args:
      path: .npz of `convert.lpips`; "" for $DDGAN_LPIPS, or ~/.cache/ddgan_jax/lpips_vgg16.npz
        where that is not set.

    Raises:
      UserError: there is no such file (the line says where to get it), it is damaged, or it holds
        another network's weights.
    """
    file = locate(path, *_WHERE, _ADVICE)
    arrays = read_arrays(file)
    check_arrays(arrays, shapes(), file, NETWORK)
    tree = traverse_util.unflatten_dict({k: jnp.asarray(v) for k, v in arrays.items()}, sep="/")
    return Lpips(tree, content_hash(arrays), distance)
