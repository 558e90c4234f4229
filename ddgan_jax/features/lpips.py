"""LPIPS, a perceptual distance of two images, with VGG16 and the weights of version 0.1.

Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric".
"""

import functools
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
from ddgan_jax.parallel.batching import in_batches

SMALLEST = 16  # pixels: four poolings leave one
_SHIFT = (-0.030, -0.088, -0.188)  # (x - shift) / scale: from [-1, 1] to VGG16's input range
_SCALE = (0.458, 0.448, 0.450)
_EPS = 1e-10
_WHERE = ("DDGAN_LPIPS", "lpips_vgg16.npz")  # environment variable, file name in the cache
_ADVICE = (
    "fetch torchvision's vgg16-397923af.pth and weights/v0.1/vgg.pth of the LPIPS project, and run "
    "python -m ddgan_jax lpips --vgg=vgg16-397923af.pth --heads=vgg.pth --out={path}"
)


class Lpips(NamedTuple):
    """LPIPS with its weights.

    Attributes:
      params: frozen weights, an argument of `apply` (never a captured constant).
      weights_hash: first 16 hexadecimal digits of the sha256 of the weights.
      apply: `distance`.
    """

    params: PyTree
    weights_hash: str
    apply: Callable[[PyTree, Array, Array], Array]


def _unit(x: Array) -> Array:
    """Normalize over channels: x / (|x| + eps). The gradient is finite also at x = 0."""
    squared = jnp.sum(jnp.square(x), axis=-1, keepdims=True)
    return x / (jnp.sqrt(jnp.maximum(squared, 1e-30)) + _EPS)


def distance(params: PyTree, a: Array, b: Array) -> Array:
    """LPIPS of pairs of images, differentiable in both.

    d(a, b) = sum_l mean_{h,w} w_l . (u_l(a) - u_l(b))^2 (equation 1), where u_l are the features of
    layer l normalized over channels.

    Args:
      params: weights, by the names of the .npz file.
      a, b: float32 [B, H, W, 3] in [-1, 1], H and W at least 16.

    Returns:
      float32 [B].

    Raises:
      UserError: images of another shape or dtype.
    """
    for x in (a, b):
        if x.ndim != 4 or x.shape[-1] != 3 or x.dtype != jnp.float32 or x.shape != a.shape:
            raise UserError(
                f"images for LPIPS are {a.dtype} {a.shape} and {b.dtype} {b.shape}; "
                "two float32 [B, H, W, 3] of the same shape are needed"
            )
    if min(a.shape[1:3]) < SMALLEST:
        raise UserError(
            f"images for LPIPS have {a.shape[1]}x{a.shape[2]} pixels; "
            f"at least {SMALLEST}x{SMALLEST} are needed"
        )
    shift, scale = jnp.asarray(_SHIFT, jnp.float32), jnp.asarray(_SCALE, jnp.float32)
    # Separate passes, because in training only one of the two needs a gradient.
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
    """LPIPS of pairs of images on the host; the channel of gray images is repeated.

    Args:
      lpips: the network.
      a, b: float32 [N, H, W, 1 or 3] in [-1, 1], H and W at least 16.
      batch_size: pairs per compiled call.

    Returns:
      float32 [N].
    """
    apply = jax.jit(lpips.apply)

    def of_batch(*pair: np.ndarray) -> Array:
        color = (np.broadcast_to(x, (*x.shape[:-1], 3)) for x in pair)
        result: Array = apply(lpips.params, *color)
        return result

    return np.concatenate(list(in_batches(of_batch, [a, b], min(batch_size, len(a)))))


def distances_by_name(
    lpips: Lpips | None, shape: tuple[int, ...]
) -> dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """`distances` of a network, by the name that reports show.

    Args:
      lpips: the network, or None for no distance.
      shape: (H, W, C) of an image. The distance of gray images has a name of its own, because the
        network was trained on color images.

    Returns:
      {name: (a, b) -> float32 [N]}, with at most one name.
    """
    if lpips is None:
        return {}
    name = "lpips" if shape[-1] == 3 else "lpips_grey_as_colour"
    return {name: functools.partial(distances, lpips)}


def lpips_for(shape: tuple[int, ...]) -> tuple[Lpips | None, str]:
    """Load LPIPS with the default weights if it is defined for images of the given shape.

    Args:
      shape: (H, W, C) of an image.

    Returns:
      (network, description for reports), or (None, reason) if images are too small or there is no
      file of weights.

    Raises:
      UserError: the file is damaged, or has weights of another network.
    """
    if min(shape[:2]) < SMALLEST:
        return None, f"none: {shape[0]}x{shape[1]} pixels, at least {SMALLEST}x{SMALLEST} needed"
    try:
        file = locate("", *_WHERE, _ADVICE)
    except UserError as error:
        return None, f"none: {error}"
    lpips = load_lpips(str(file))
    gray = ", gray shown as color" if shape[2] == 1 else ""
    return lpips, f"{NETWORK}, weights {lpips.weights_hash}{gray}"


def lpips_shapes() -> PyTree:
    """Shapes of `Lpips.params`."""
    arrays = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes().items()}
    return traverse_util.unflatten_dict(arrays, sep="/")


def load_lpips(path: str) -> Lpips:
    """Load LPIPS with the published weights.

    Args:
      path: the converted .npz file; "" for $DDGAN_LPIPS, or ~/.cache/ddgan_jax/lpips_vgg16.npz if
        that is not set.

    Raises:
      UserError: no such file (the message says where to get it), a damaged file, or weights of
        another network.
    """
    file = locate(path, *_WHERE, _ADVICE)
    arrays = read_arrays(file)
    check_arrays(arrays, shapes(), file, NETWORK)
    tree = traverse_util.unflatten_dict({k: jnp.asarray(v) for k, v in arrays.items()}, sep="/")
    return Lpips(tree, content_hash(arrays), distance)
