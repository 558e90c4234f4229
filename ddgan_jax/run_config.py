"""Config file for a run folder that already has one: `--config=.../run_config.py:WORKDIR`."""

from pathlib import Path

from ml_collections import ConfigDict

from ddgan_jax.run_folder import load_config


def get_config(workdir: str) -> ConfigDict:
    """The config that the run in `workdir` was made with."""
    return load_config(Path(workdir))
