"""Features of the Inception-v3 that the FID, KID and Inception score are defined by."""

import jax
import jax.numpy as jnp
import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Array, PyTree
from ddgan_jax.features.extractor import Extracted, Extractor
from ddgan_jax.interop.inception import CLASSES, inception_params, read_inception
from ddgan_jax.interop.weight_files import content_hash, locate
from ddgan_jax.networks.inception import Inception

SIZE = 299
_PUBLISHED = "pt_inception-2015-12-05-6726825d.pth"
_ADVICE = (
    f"fetch {_PUBLISHED} (a release asset of the pytorch-fid project on GitHub) and run "
    f"python -m ddgan_jax inception --source={_PUBLISHED} --out={{path}}"
)


def _resize_axis(x: Array, axis: int, size: int) -> Array:
    """Linear interpolation at centres (i + 1/2) n / size - 1/2, clamped to the first and last."""
    n = x.shape[axis]
    centre = np.clip((np.arange(size) + 0.5) * (n / size) - 0.5, 0, n - 1)
    low = np.floor(centre).astype(np.int32)
    high = np.minimum(low + 1, n - 1)
    shape = [1] * x.ndim
    shape[axis] = size
    share = jnp.asarray((centre - low).reshape(shape), x.dtype)
    return jnp.take(x, low, axis=axis) * (1 - share) + jnp.take(x, high, axis=axis) * share


def resize_bilinear(images: Array, size: int) -> Array:
    """Float32 [B, H, W, C] -> [B, size, size, C]: bilinear, half-pixel centres, no antialiasing.

    Every pixel is a mean of at most four, also when shrinking. The same as PyTorch's
    `interpolate(mode="bilinear", align_corners=False)`.
    """
    return _resize_axis(_resize_axis(images, 1, size), 2, size)


@jax.jit
def _pool_features(network: PyTree, images: Array) -> Array:
    x = resize_bilinear(images.astype(jnp.float32) / 255, SIZE)
    return jnp.asarray(Inception().apply({"params": network}, 2 * x - 1))


def extract(params: PyTree, images: Array) -> Extracted:
    """Pool features, and logits where the weights have the classifier.

    Images are divided by 255, resized to 299x299 (`resize_bilinear`), and mapped to [-1, 1]. The
    logits are features @ fc.weight^T *without* `fc.bias`: that is how the Inception score has been
    computed since its first publication, and numbers with the bias do not compare.

    Args:
      params: as from `convert.inception.inception_params`.
      images: uint8 [B, H, W, 3].

    Returns:
      `Extracted`: features float32 [B, 2048], logits float32 [B, 1008] or None.

    Raises:
      UserError: other images.
    """
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != jnp.uint8:
        raise UserError(
            f"Inception was given images {images.dtype} {images.shape}; allowed: uint8 [B, H, W, 3]"
        )
    features = _pool_features(params["network"], images)
    if "classifier" not in params:
        return Extracted(features, None)
    logits = jnp.matmul(features, params["classifier"], precision=jax.lax.Precision.HIGHEST)
    return Extracted(features, logits)


def load_inception(path: str) -> Extractor:
    """The FID's feature network with the published weights.

    Args:
      path: .npz of `convert.inception`, or the PyTorch file itself; "" for $DDGAN_INCEPTION, or
        ~/.cache/ddgan_jax/inception_fid.npz where that is not set.

    Raises:
      UserError: there is no such file (the line says where to get it), it is damaged, or it holds
        another network's weights.
    """
    file = locate(path, "DDGAN_INCEPTION", "inception_fid.npz", _ADVICE)
    arrays = read_inception(file)
    return Extractor(
        name="inception-2015-12-05",
        distance="fid",
        weights_hash=content_hash(arrays),
        resize=f"bilinear to {SIZE}x{SIZE}, half-pixel centres, no antialiasing",
        channels=3,
        classes=CLASSES if "fc.weight" in arrays else 0,
        params=jax.tree.map(jnp.asarray, inception_params(arrays)),
        apply=extract,
    )
