"""Load the weights of EfficientNet-Lite0, the feature network of Diffusion-ProjectedGAN."""

import jax
import jax.numpy as jnp

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import PyTree
from ddgan_jax.interop.efficientnet import NETWORK, efficientnet_params, shapes, used
from ddgan_jax.interop.weight_files import check_arrays, file_hash, locate, read_arrays
from ddgan_jax.networks.efficientnet import EfficientNetLite0

_WHERE = ("DDGAN_EFFICIENTNET", "tf_efficientnet_lite0.pth")  # variable, file name in the cache
_HASH = "0aa007d2"  # the SHA-256 of the published file begins so
_ADVICE = (
    f"put tf_efficientnet_lite0-{_HASH}.pth of timm's releases there, as published, or train with "
    "--config.features.network=random"
)


def efficientnet_shapes() -> PyTree:
    """Shapes of the parameters."""
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    return jax.eval_shape(EfficientNetLite0().init, jax.random.key(0), images)["params"]


def load_efficientnet(path: str = "") -> PyTree:
    """Load the parameters of `networks.efficientnet.EfficientNetLite0`, on the host.

    Args:
      path: the published PyTorch file; "" for $DDGAN_EFFICIENTNET, or
        ~/.cache/ddgan_jax/tf_efficientnet_lite0.pth if that is not set.

    Raises:
      UserError: no such file, a damaged file, or another one than the published. timm's
        efficientnet_lite0 has arrays of the same shapes, for a network that takes other images.
    """
    file = locate(path, *_WHERE, _ADVICE)
    found = file_hash(file)
    if not found.startswith(_HASH):
        name = f"tf_efficientnet_lite0-{_HASH}.pth"
        raise UserError(f"{file}: not {name}, its SHA-256 begins with {found[: len(_HASH)]}")
    arrays = used(read_arrays(file))
    check_arrays(arrays, shapes(), file, NETWORK)
    return efficientnet_params(arrays)
