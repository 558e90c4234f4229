"""Batch normalization whose running statistics are values of the caller."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from ddgan_jax.core.types import Array, PyTree
from ddgan_jax.networks.layers import Dtype, full_precision

EPSILON = 1e-5
MOMENTUM = 0.1  # PyTorch's: how far one batch moves the running statistics
MOMENTS = "moments"  # the collection of statistics


class BatchNorm(nn.Module):
    """Batch norm over batch, height and width, with scale and shift; float32 at least.

    In training it normalizes by the statistics of the batch; if the collection "moments" is
    mutable, it returns them there, as "mean" and "variance" (the unbiased one). In sampling it
    normalizes by the statistics in that collection.

    Attributes:
      sampled: whether the network is also used for sampling; without it there is no collection.
      dtype: dtype of the output.
    """

    sampled: bool = True
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool = True) -> Array:
        """x [B, H, W, C] normalized, in `dtype`."""
        features = x.shape[-1]
        x = x.astype(full_precision(self.dtype))
        if train:
            mean, variance = jnp.mean(x, (0, 1, 2)), jnp.var(x, (0, 1, 2))
        if self.sampled:
            stored_mean = self.variable(MOMENTS, "mean", jnp.zeros, features)
            stored_variance = self.variable(MOMENTS, "variance", jnp.ones, features)
            if not train:
                mean, variance = stored_mean.value, stored_variance.value
            elif self.is_mutable_collection(MOMENTS) and not self.is_initializing():
                count = x.shape[0] * x.shape[1] * x.shape[2]
                stored_mean.value = mean
                stored_variance.value = variance * (count / max(count - 1, 1))
        scale = self.param("scale", nn.initializers.ones, (features,))
        shift = self.param("shift", nn.initializers.zeros, (features,))
        y = (x - mean) * (jax.lax.rsqrt(variance + EPSILON) * scale) + shift
        return y.astype(self.dtype)


def running(average: PyTree, found: PyTree) -> PyTree:
    """The running statistics after a batch with the statistics `found`."""
    return jax.tree.map(lambda a, b: (1 - MOMENTUM) * a + MOMENTUM * b, average, found)
