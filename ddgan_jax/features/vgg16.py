"""VGG16 features of improved precision and recall: its second dense layer, 4,096 numbers.

Kynkäänniemi et al. 2019, "Improved precision and recall metric for assessing generative models".
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ddgan_jax.core.types import Array, PyTree
from ddgan_jax.features.extractor import Extracted, Extractor, ExtractorEntry
from ddgan_jax.features.resize import check_uint8_images, resize_bilinear_tf1
from ddgan_jax.interop.vgg16 import read_vgg16, vgg16_params
from ddgan_jax.interop.weight_files import content_hash, locate
from ddgan_jax.networks.vgg import SIZE, VGG16Dense

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's images in [0, 1]
_PUBLISHED = "vgg16-397923af.pth"
_ADVICE = (
    f"fetch torchvision's {_PUBLISHED} and run "
    f"python -m ddgan_jax vgg16 --source={_PUBLISHED} --out={{path}}"
)


def normalized(images: Array) -> Array:
    """Images as VGG16 takes them.

    They are resized by `resize_bilinear_tf1`. The mean of ImageNet is subtracted and its standard
    deviation divided by.

    Args:
      images: uint8 [B, H, W, 3].

    Returns:
      float32 [B, 224, 224, 3].
    """
    x = resize_bilinear_tf1(images.astype(jnp.float32), SIZE) / 255
    return (x - jnp.asarray(_MEAN, jnp.float32)) / jnp.asarray(_STD, jnp.float32)


def extract(params: PyTree, images: Array) -> Extracted:
    """Compute the output of the second dense layer, after its ReLU.

    Args:
      params: result of `interop.vgg16.vgg16_params`.
      images: uint8 [B, H, W, 3].

    Returns:
      Features float32 [B, 4096]; no logits.

    Raises:
      UserError: images of another dtype or shape.
    """
    check_uint8_images(images, "VGG16")
    return Extracted(jnp.asarray(VGG16Dense().apply({"params": params}, normalized(images))), None)


def load_vgg16(path: str) -> Extractor:
    """Load VGG16 with torchvision's weights.

    Args:
      path: the converted .npz file, or torchvision's file; "" for $DDGAN_VGG16, or
        ~/.cache/ddgan_jax/vgg16.npz if that is not set.

    Raises:
      UserError: no such file (the message says where to get it), a damaged file, or other weights.
    """
    arrays = read_vgg16(locate(path, "DDGAN_VGG16", "vgg16.npz", _ADVICE))
    return Extractor(
        name="vgg16",
        distance="frechet_vgg16",
        weights_hash=content_hash(arrays),
        # Part of the key of cached statistics.
        resize=f"bilinear to {SIZE}x{SIZE}, corner pixels aligned at 0, no antialiasing",
        channels=3,
        classes=0,
        params=jax.tree.map(jnp.asarray, vgg16_params(arrays)),
        apply=extract,
    )


def _shapes() -> tuple[Callable[[PyTree, Array], Extracted], PyTree]:
    image = jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.float32)
    return extract, jax.eval_shape(VGG16Dense().init, jax.random.key(0), image)["params"]


VGG16 = ExtractorEntry(lambda settings: load_vgg16(settings.vgg16), channels=3, shapes=_shapes)
