"""The frozen networks that a run needs: those of its space, and those that its losses name."""

from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from ddgan_jax.core.types import Method, PyTree
from ddgan_jax.features.lpips import load_lpips, lpips_shapes
from ddgan_jax.parallel.mesh import replicated
from ddgan_jax.spaces import find_space


class Loader(NamedTuple):
    """How a frozen network of `Method.frozen` is found.

    Attributes:
      shapes: () -> shapes and dtypes of its parameters.
      load: () -> its parameters, on the host.
    """

    shapes: Any
    load: Any


LOADERS = {"lpips": Loader(lpips_shapes, lambda: jax.device_get(load_lpips("").params))}


def load_host(method: Method) -> dict[str, PyTree]:
    """Parameters of the networks in `method.frozen`, on the host.

    Raises:
      UserError: the weights of one are not there.
    """
    return {name: LOADERS[name].load() for name in method.frozen}


def load_frozen(
    config: ConfigDict, mesh: jax.sharding.Mesh, of_losses: dict[str, PyTree]
) -> dict[str, Any]:
    """All frozen parameters of a run by name, replicated over the devices.

    Args:
      config: complete, naming the run folder's own copies.
      mesh: the devices.
      of_losses: see `load_host`.

    Raises:
      UserError: weights that are missing or damaged.
    """
    networks = find_space(config).frozen
    frozen = networks.load(config, mesh) if networks else {}
    return {**frozen, **jax.device_put(of_losses, replicated(mesh))}


def frozen_shapes(config: ConfigDict, method: Method) -> dict[str, Any]:
    """Shapes and dtypes of what `load_frozen` returns, without loading it."""
    networks = find_space(config).frozen
    shapes = networks.shapes(config) if networks else {}
    return {**shapes, **{name: LOADERS[name].shapes() for name in method.frozen}}
