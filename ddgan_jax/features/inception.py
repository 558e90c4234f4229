"""Inception-v3 with the standard weights for FID, KID and Inception score."""

import jax
import jax.numpy as jnp
import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Array, PyTree
from ddgan_jax.features.extractor import Extracted, Extractor, ExtractorEntry
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
    """Resize an axis of length n: output i is x at (i + 1/2) n / size - 1/2, interpolated linearly.

    Positions beyond the first and the last pixel are clamped to them.
    """
    n = x.shape[axis]
    center = np.clip((np.arange(size) + 0.5) * (n / size) - 0.5, 0, n - 1)
    low = np.floor(center).astype(np.int32)
    high = np.minimum(low + 1, n - 1)
    shape = [1] * x.ndim
    shape[axis] = size
    share = jnp.asarray((center - low).reshape(shape), x.dtype)
    return jnp.take(x, low, axis=axis) * (1 - share) + jnp.take(x, high, axis=axis) * share


def resize_bilinear(images: Array, size: int) -> Array:
    """Resize images bilinearly with half-pixel centers and without antialiasing.

    Each output pixel is a mean of at most four input pixels, also when shrinking. Equal to
    PyTorch's `interpolate(mode="bilinear", align_corners=False)`.

    Args:
      images: float32 [B, H, W, C].
      size: height and width of the result.

    Returns:
      float32 [B, size, size, C].
    """
    return _resize_axis(_resize_axis(images, 1, size), 2, size)


@jax.jit
def _pool_features(network: PyTree, images: Array) -> Array:
    x = resize_bilinear(images.astype(jnp.float32) / 255, SIZE)
    return jnp.asarray(Inception().apply({"params": network}, 2 * x - 1))


def extract(params: PyTree, images: Array) -> Extracted:
    """Compute pool features, and logits if the weights include the classifier layer.

    Images are divided by 255, resized to 299x299 (`resize_bilinear`), and mapped to [-1, 1]. The
    logits are features @ fc.weight^T *without* `fc.bias`: the Inception score has been computed
    this way since its first publication, and numbers with the bias are not comparable.

    Args:
      params: result of `interop.inception.inception_params`.
      images: uint8 [B, H, W, 3].

    Returns:
      Features float32 [B, 2048], logits float32 [B, 1008] or None.

    Raises:
      UserError: images of another dtype or shape.
    """
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != jnp.uint8:
        raise UserError(
            f"images for Inception are {images.dtype} {images.shape}; uint8 [B, H, W, 3] is needed"
        )
    features = _pool_features(params["network"], images)
    if "classifier" not in params:
        return Extracted(features, None)
    logits = jnp.matmul(features, params["classifier"], precision=jax.lax.Precision.HIGHEST)
    return Extracted(features, logits)


def inception_shapes() -> PyTree:
    """Shapes and dtypes of the weights, the first argument of `extract`, without reading any."""
    image = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.float32)
    network = jax.eval_shape(Inception().init, jax.random.key(0), image)["params"]
    return {"network": network, "classifier": jax.ShapeDtypeStruct((2048, CLASSES), jnp.float32)}


def load_inception(path: str) -> Extractor:
    """Load Inception-v3 with the standard weights for FID.

    Args:
      path: the converted .npz file, or the published PyTorch file; "" for $DDGAN_INCEPTION, or
        ~/.cache/ddgan_jax/inception_fid.npz if that is not set.

    Raises:
      UserError: no such file (the message says where to get it), a damaged file, or weights of
        another network.
    """
    file = locate(path, "DDGAN_INCEPTION", "inception_fid.npz", _ADVICE)
    arrays = read_inception(file)
    return Extractor(
        name="inception-2015-12-05",
        distance="fid",
        weights_hash=content_hash(arrays),
        # Part of the key of cached statistics and of earlier reports: keep the spelling.
        resize=f"bilinear to {SIZE}x{SIZE}, half-pixel centres, no antialiasing",
        channels=3,
        classes=CLASSES if "fc.weight" in arrays else 0,
        params=jax.tree.map(jnp.asarray, inception_params(arrays)),
        apply=extract,
    )


INCEPTION = ExtractorEntry(
    lambda settings: load_inception(settings.inception),
    channels=3,
    shapes=lambda: (extract, inception_shapes()),
)
