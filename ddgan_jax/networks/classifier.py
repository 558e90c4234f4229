"""A small classifier of grey images; what it knows before it decides is a feature space."""

import flax.linen as nn
import jax.numpy as jnp

from ddgan_jax.core.types import Array
from ddgan_jax.networks.layers import conv, dense

FEATURES = 128
SIZES = range(8, 33)  # heights and widths that reach 3x3 or 4x4 in one to three halvings
_WIDTHS = (32, 64, 64)


class Classifier(nn.Module):
    """Convolutions down to 4x4 or less, Dense (the features), Dense (the logits).

    One of stride 2 for each halving, the first 5x5 and the rest 3x3, and one more at the end.
    Nothing is normalised over the batch, so that image i of a batch depends on itself alone; SiLU
    leaves no feature dead, so that no covariance of features is singular for that reason. For ten
    classes 225,674 parameters at 32x32 and 171,082 at 8x8.

    Attributes:
      classes: number of them.
      dropout: share of the features that the logits do without in training.
    """

    classes: int
    dropout: float = 0.3

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> tuple[Array, Array]:
        """X float32 [B, S, S, 1] in [0, 1], S in `SIZES` -> features [B, 128], logits [B, classes].

        With `train`, `apply` needs `rngs={"dropout": key}`.
        """
        kwargs = dict(dtype=jnp.float32, param_dtype=jnp.float32)
        halvings = (x.shape[1] - 1).bit_length() - 2
        h = x
        for i, width in enumerate(_WIDTHS[-halvings:]):
            h = nn.silu(conv(width, 3 if i else 5, strides=2, name=f"conv_{i}", **kwargs)(h))
        h = nn.silu(conv(_WIDTHS[-1], 3, name="conv_last", **kwargs)(h))
        h = h.reshape(h.shape[0], -1)
        features = nn.silu(dense(FEATURES, name="features", **kwargs)(h))
        kept = nn.Dropout(self.dropout, deterministic=not train)(features)
        return features, dense(self.classes, name="logits", **kwargs)(kept)
