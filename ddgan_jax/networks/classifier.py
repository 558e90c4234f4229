"""A small classifier of gray images whose last hidden layer is a feature space for metrics."""

import flax.linen as nn
import jax.numpy as jnp

from ddgan_jax.core.types import Array
from ddgan_jax.networks.layers import conv, dense

FEATURES = 128
SIZES = range(8, 33)  # heights and widths that one to three halvings reduce to 3x3 or 4x4
_WIDTHS = (32, 64, 64)


class Classifier(nn.Module):
    """Convolutions down to 4x4 or 3x3, a dense layer of features, a dense layer of logits.

    There is one convolution of stride 2 for each halving, 5x5 in the first and 3x3 in the others,
    and a last 3x3 convolution of stride 1. No layer normalizes over the batch, so the output for an
    image does not depend on the others. SiLU keeps every feature alive, which prevents singular
    covariances of the features. With ten classes it has 225,674 parameters at 32x32 and 171,082 at
    8x8.

    Attributes:
      classes: number of classes.
      dropout: dropout rate of the features before the logits.
    """

    classes: int
    dropout: float = 0.3

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> tuple[Array, Array]:
        """Features [B, 128] and logits [B, classes] of images float32 [B, S, S, 1] in [0, 1].

        S is in `SIZES`. With `train`, `apply` needs `rngs={"dropout": key}`.
        """
        halvings = (x.shape[1] - 1).bit_length() - 2
        h = x
        for i, width in enumerate(_WIDTHS[-halvings:]):
            kernel = 3 if i else 5
            h = conv(width, kernel, strides=2, dtype=jnp.float32, name=f"conv_{i}")(h)
            h = nn.silu(h)
        h = nn.silu(conv(_WIDTHS[-1], 3, dtype=jnp.float32, name="conv_last")(h))
        h = h.reshape(h.shape[0], -1)
        features = nn.silu(dense(FEATURES, dtype=jnp.float32, name="features")(h))
        kept = nn.Dropout(self.dropout, deterministic=not train)(features)
        return features, dense(self.classes, dtype=jnp.float32, name="logits")(kept)
