"""Inception-v3 with the standard weights for FID, KID and Inception score."""

import jax
import jax.numpy as jnp

from ddgan_jax.core.types import Array, PyTree
from ddgan_jax.features.extractor import Extracted, Extractor, ExtractorEntry
from ddgan_jax.features.resize import check_uint8_images, resize_bilinear
from ddgan_jax.interop.inception import CLASSES, inception_params, read_inception
from ddgan_jax.interop.weight_files import content_hash, locate
from ddgan_jax.networks.inception import Inception

SIZE = 299
_PUBLISHED = "pt_inception-2015-12-05-6726825d.pth"
_ADVICE = (
    f"fetch {_PUBLISHED} (a release asset of the pytorch-fid project on GitHub) and run "
    f"python -m ddgan_jax inception --source={_PUBLISHED} --out={{path}}"
)


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
    check_uint8_images(images, "Inception")
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
