"""Networks and optimizers of a published `content.pth`, for runs that begin with them."""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.config import flatten
from ddgan_jax.core.errors import UserError, described
from ddgan_jax.core.types import Method, PyTree
from ddgan_jax.interop.names import Arrays, Entry, Tree, to_params
from ddgan_jax.interop.resumable import read_trained


class StoredNetwork(NamedTuple):
    """A network in a published file.

    Attributes:
      weights, optimizer: keys of the file's dictionary.
      entries: see `published.Published`.
      describe: arrays -> fields of the config that they tell; {} if they tell none.
    """

    weights: str
    optimizer: str
    entries: Callable[[Tree], tuple[Entry, ...]]
    describe: Callable[[Arrays], dict[str, Any]] = lambda arrays: {}


class Found(NamedTuple):
    """What a file has.

    Attributes:
      params: weights by role, as the optimizer left them.
      moments: {"count", "mu", "nu"} of Adam by role.
      notes: what was read and what could not be, one line each.
    """

    params: dict[str, PyTree]
    moments: dict[str, Any]
    notes: list[str]

    def facts(self) -> dict[str, Any]:
        """What info.json says of it."""
        return {"networks": list(self.params), "optimizers": list(self.moments)}

    def state(self) -> dict[str, Any] | None:
        """The part of a train state that a checkpoint keeps; None if there is none."""
        parts = {"params": self.params, "moments": self.moments}
        return {name: tree for name, tree in parts.items() if tree} or None


def describe_networks(
    file: Path, networks: Mapping[str, StoredNetwork], config: ConfigDict
) -> dict[str, Any]:
    """Fields of the config that the networks of a file tell, see `StoredNetwork.describe`.

    Args:
      file: the published file.
      networks: by role. One that cannot be read tells nothing; `read_resumable` says why.
      config: its discriminator is of the published kind, or else nothing is told.
    """
    fields: dict[str, Any] = {}
    if flatten(config).get("disc.network") != "resblock":
        return fields
    for network in networks.values():
        with contextlib.suppress(UserError):
            if found := read_trained(file, network.weights, network.optimizer):
                fields |= network.describe(found.weights)
    return fields


def read_resumable(file: Path, networks: Mapping[str, StoredNetwork], method: Method) -> Found:
    """Read the networks of a file and their optimizers, as far as they fit the config.

    Args:
      file: the published file.
      networks: by role.
      method: the method of the config.
    """
    shapes = jax.eval_shape(method.init, jax.random.key(0)) if networks else {}
    params, moments, notes = {}, {}, []
    for role, network in networks.items():
        try:
            found = read_trained(file, network.weights, network.optimizer)
            if found is None:
                continue
            entries = network.entries(shapes[role])
            params[role] = to_params(found.weights, entries, shapes[role])
            if found.steps:
                mu, nu = (to_params(a, entries, shapes[role]) for a in (found.mean, found.square))
                moments[role] = {"count": np.asarray(found.steps, np.int32), "mu": mu, "nu": nu}
        except (UserError, ValueError, KeyError) as error:  # of another architecture
            reason = str(error) if isinstance(error, UserError) else described(error)
            notes.append(f"{network.weights} is left out: {reason}")
            params.pop(role, None)
            continue
        steps = f", Adam's moments of {found.steps:,} steps" if found.steps else ", no moments"
        notes.append(f"{network.weights}: raw weights of {role}{steps}, for train --init_from")
    return Found(params, moments, notes)
