"""Load the frozen networks of a run: those of its space, and those that its losses use."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Method, PyTree, Shape
from ddgan_jax.features.efficientnet import efficientnet_shapes, load_efficientnet
from ddgan_jax.features.lpips import load_lpips, lpips_shapes
from ddgan_jax.parallel.mesh import replicated
from ddgan_jax.spaces import find_space


class Loader(NamedTuple):
    """How a frozen network that `Method.frozen` names is loaded.

    Attributes:
      shapes: () -> shapes and dtypes of its parameters.
      load: () -> its parameters, on the host.
    """

    shapes: Callable[[], PyTree]
    load: Callable[[], PyTree]


LOADERS: dict[str, Loader] = {
    "lpips": Loader(lpips_shapes, lambda: jax.device_get(load_lpips("").params)),
    "efficientnet": Loader(efficientnet_shapes, load_efficientnet),
}


def load_host(method: Method) -> dict[str, PyTree]:
    """Load the networks in `method.frozen` to the host.

    Returns:
      Parameters by name.

    Raises:
      UserError: an unknown network, or the weights of one are missing.
    """
    return {name: _loader(name).load() for name in method.frozen}


def _loader(name: str) -> Loader:
    if name not in LOADERS:
        raise UserError(
            f"the method names the frozen network {name!r}; {' or '.join(LOADERS)} is needed"
        )
    return LOADERS[name]


def load_frozen(
    config: ConfigDict, shape: Shape, mesh: jax.sharding.Mesh, of_losses: dict[str, PyTree]
) -> dict[str, Any]:
    """Load the networks of the space and add those of the losses.

    Args:
      config: complete config; `config.space` names the run folder's own copy if there is one.
      shape: shape of one example of the data.
      mesh: the devices.
      of_losses: result of `load_host`.

    Returns:
      Parameters by name, replicated over the devices.

    Raises:
      UserError: weights are missing or damaged.
    """
    networks = find_space(config).frozen
    frozen = networks.load(config, shape, mesh) if networks else {}
    return {**frozen, **jax.device_put(of_losses, replicated(mesh))}


def frozen_shapes(config: ConfigDict, method: Method, shape: Shape) -> dict[str, Any]:
    """Shapes and dtypes of what `load_frozen` returns, without reading any weights.

    Args:
      config: complete config.
      method: its method.
      shape: shape of one example of the data.
    """
    networks = find_space(config).frozen
    shapes = networks.shapes(config, shape) if networks else {}
    return {**shapes, **{name: _loader(name).shapes() for name in method.frozen}}
