"""Configs of commands that put several side by side."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from ml_collections import ConfigDict

from ddgan_jax.config.overrides import load_config_file, override


def read_several(
    files: Iterable[str], overrides: Mapping[str, str], autoencoder: str, folder: Path
) -> dict[str, ConfigDict]:
    """Configs by their files.

    Args:
      files: config files.
      overrides: {FIELD: VALUE}, of all of them.
      autoencoder: config file of the autoencoder for those that work in latents, or "".
      folder: where its run folder without weights is written.

    Raises:
      UserError: something is wrong with one of them.
    """
    from ddgan_jax.data import data_shape
    from ddgan_jax.methods import complete_config
    from ddgan_jax.spaces.autoencoder_folder import untrained

    configs: dict[str, ConfigDict] = {}
    for name in files:
        config = override(complete_config(load_config_file(name)), overrides)
        if autoencoder and "autoencoder" in config.get("space", {}):
            own = folder / str(len(configs))
            own.mkdir()
            theirs = complete_config(load_config_file(autoencoder))
            config = untrained(config, theirs, data_shape(config.data), own)
        configs[name] = config
    return configs
