"""Registry entries of spaces, and the frozen networks that a space may need."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from ml_collections import ConfigDict

from ddgan_jax.config import Fields, check
from ddgan_jax.core.types import Shape, Space
from ddgan_jax.data.source import Source
from ddgan_jax.io.storage import AnyPath
from ddgan_jax.networks import GENERATORS, STYLE_GENERATORS, ends_with_tanh


class FrozenNetworks(NamedTuple):
    """The frozen networks of a space, stored in the run folder that uses them.

    Attributes:
      use_local_copy: (config, workdir) -> the config with the path of the copy of the networks in
        the run folder; the same config if that copy is missing or incomplete.
      check: config -> None; raises a UserError unless the networks can be loaded.
      shapes: (config, shape of one example of the data) -> shapes and dtypes of what `load`
        returns.
      load: (config, shape of one example of the data, mesh) -> parameters by name, replicated over
        the devices.
      feed: (config, data, frozen) -> (the data as the train step sees them, `frozen` updated with
        values measured on the data). Collective: every process has to call it.
      copy_into: (config, frozen, workdir) -> None; copies the networks into the run folder, for
        sampling and for resumed runs.
      batch: (key, config, shape of one example of the data, count) -> a random batch with the
        shapes and dtypes of those of `feed`.
      hashes: (config, workdir, mesh) -> a function () -> hashes of the weights of the run folder's
        own copy and of those that the config names.
      folder: name of the copy in the run folder.
      field: name of the config field, such as "space.autoencoder", that may name the copy of
        another run.
      copy: what it names in that run's folder, such as "autoencoder".
    """

    use_local_copy: Callable[[ConfigDict, AnyPath], ConfigDict]
    check: Callable[[ConfigDict], None]
    shapes: Callable[[ConfigDict, Shape], dict[str, Any]]
    load: Callable[[ConfigDict, Shape, jax.sharding.Mesh], dict[str, Any]]
    feed: Callable[[ConfigDict, Source, dict[str, Any]], tuple[Source, dict[str, Any]]]
    copy_into: Callable[[ConfigDict, dict[str, Any], AnyPath], None]
    batch: Callable[[jax.Array, ConfigDict, Shape, int], dict[str, jax.Array]]
    hashes: Callable[[ConfigDict, AnyPath, jax.sharding.Mesh], Callable[[], tuple[str, str]]]
    folder: str
    field: str
    copy: str


class SpaceEntry(NamedTuple):
    """A registered space, which configs name by `config.space.kind`.

    Attributes:
      build: (complete config, shape of one example of the data) -> Space.
      fields: settings `config.space.*`.
      frozen: the space's frozen networks; None if it has none.
    """

    build: Callable[[ConfigDict, Shape], Space]
    fields: Fields
    frozen: FrozenNetworks | None = None


def check_unbounded(config: ConfigDict, because: str) -> None:
    """Check that nothing keeps samples within [-1, 1], for a space whose data exceed it.

    Args:
      config: a complete config.
      because: why they exceed it, for the message.

    Raises:
      UserError: the generator ends with tanh, or the sampler clips.
    """
    bounded = ends_with_tanh(config, GENERATORS | STYLE_GENERATORS)
    check(config, "gen.tanh", not bounded, f"false {because}")
    clips = "sampler" in config and config.sampler.get("clip", False)
    check(config, "sampler.clip", not clips, f"false {because}")
