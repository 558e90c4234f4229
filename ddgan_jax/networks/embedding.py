"""Dense layers that read one embedding, computed as a single product.

Every residual block of a U-Net has dense layers of the time and latent embeddings. Alone each is a
product of a few rows with about ten small kernels around it, forward and backward. With the
parameters W_i, b_i of n such layers, `project` computes

  [y_1, ..., y_n] = e [W_1, ..., W_n] + [b_1, ..., b_n],  the results of the layers.

The parameters stay those of the layers, where they are initialized, stored and imported.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from ddgan_jax.core.types import Array

Path = tuple[str, ...]


class Embedding(NamedTuple):
    """An embedding and what dense layers make of it.

    Attributes:
      value: the embedding e [B, E].
      results: y_i [B, F_i] by the path of the layer.
    """

    value: Array
    results: Mapping[str, Array]

    def through(self, layer: nn.Dense) -> Array:
        """`layer(value)` [B, F], of a dense layer that was created within a compact module."""
        found = self.results.get("/".join(layer.path))
        result: Array = layer(self.value) if found is None else found
        return result


def project(module: nn.Module, value: Array, name: str, equalized: bool = False) -> Embedding:
    """Compute all dense layers of an embedding within a module.

    Args:
      module: a module, within its compact method; while it is initialized, layers compute
        themselves.
      value: the embedding [B, E], whose dtype the products have.
      name: name of the dense layers, anywhere within the module.
      equalized: whether their kernels are divided by the square root of E, see `layers.conv`.
    """
    if module.is_initializing():
        return Embedding(value, {})
    layers = _layers(module.variables.get("params", {}), module.path, name)
    if not layers:
        return Embedding(value, {})
    dtype = value.dtype
    kernels = [layer["kernel"].astype(dtype) for layer in layers.values()]
    kernel = jnp.concatenate(kernels, axis=1)
    bias = jnp.concatenate([layer["bias"].astype(dtype) for layer in layers.values()])
    kernel = kernel * value.shape[-1] ** -0.5 if equalized else kernel
    results = value @ kernel + bias
    # Barriers here and in the gradient keep XLA from weighing whether to fuse one array with
    # dozens of others, which takes minutes for a large network.
    parts = _split(
        jax.lax.optimization_barrier(results), tuple(kernel.shape[1] for kernel in kernels)
    )
    return Embedding(value, dict(zip(layers, parts, strict=True)))


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def _split(x: Array, widths: tuple[int, ...]) -> list[Array]:
    """The parts of x [B, F] with these widths."""
    return list(jax.lax.split(x, widths, axis=1))


def _forward(x: Array, widths: tuple[int, ...]) -> tuple[list[Array], None]:
    return _split(x, widths), None


def _backward(widths: tuple[int, ...], kept: None, parts: list[Array]) -> tuple[Array]:
    del widths, kept
    return (jnp.concatenate(jax.lax.optimization_barrier(parts), axis=1),)


_split.defvjp(_forward, _backward)


def _layers(params: Mapping[str, Any], path: Path, name: str) -> dict[str, Mapping[str, Array]]:
    """The parameters of the layers called `name`, by path."""
    found: dict[str, Mapping[str, Array]] = {}
    for key, part in params.items():
        if key == name:
            found["/".join((*path, key))] = part
        elif isinstance(part, Mapping):
            found |= _layers(part, (*path, key), name)
    return found
