"""Registry entries of spaces, and the frozen networks that a space may need."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from ddgan_jax.config import Fields
from ddgan_jax.core.types import Shape, Space
from ddgan_jax.data.source import Source
from ddgan_jax.io.storage import AnyPath


class FrozenNetworks(NamedTuple):
    """The frozen networks of a space, stored in the run folder that uses them.

    Attributes:
      own: (config, workdir) -> the config that names the run folder's own copy, if there is one.
      check: config -> None; raises a UserError unless the networks can be loaded.
      shapes: config -> shapes and dtypes of what `load` returns.
      load: (config, mesh) -> parameters by name, replicated over the devices.
      feed: (config, data, frozen) -> (the data as the train step sees them, frozen with what was
        measured on them). Collective.
      adopt: (config, frozen, workdir) -> None; copies what sampling needs into the run folder.
      batch: (key, config, shape, count) -> a random batch like those of `feed`.
      folder: name of the copy in the run folder.
    """

    own: Callable[[ConfigDict, AnyPath], ConfigDict]
    check: Callable[[ConfigDict], None]
    shapes: Callable[[ConfigDict], dict[str, Any]]
    load: Callable[[ConfigDict, jax.sharding.Mesh], dict[str, Any]]
    feed: Callable[[ConfigDict, Source, dict[str, Any]], tuple[Source, dict[str, Any]]]
    adopt: Callable[[ConfigDict, dict[str, Any], AnyPath], None]
    batch: Callable[[jax.Array, ConfigDict, Shape, int], dict[str, jax.Array]]
    folder: str


class SpaceEntry(NamedTuple):
    """A space as configs name it.

    Attributes:
      build: (complete config, shape of one example of the data) -> Space.
      fields: settings `config.space.*`.
      frozen: the space's frozen networks; None if it has none.
    """

    build: Callable[[ConfigDict, Shape], Space]
    fields: Fields
    frozen: FrozenNetworks | None = None
