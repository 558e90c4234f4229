"""How a run begins in a folder: earlier runs in it, the first state, config.json and info.json."""

import os
from collections.abc import Callable, Mapping
from typing import Any

from ml_collections import ConfigDict

from ddgan_jax.config import plugins
from ddgan_jax.config.fields import flatten
from ddgan_jax.config.stored import read_config, save_config
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import TrainState
from ddgan_jax.inference.same_run import check_content
from ddgan_jax.io import checkpoint, run_folder
from ddgan_jax.io.storage import AnyPath, is_remote
from ddgan_jax.methods import complete_config
from ddgan_jax.spaces import find_space
from ddgan_jax.training.init_from import Origin, Weights, begin_with
from ddgan_jax.training.metrics_log import Window
from ddgan_jax.training.setup import Run, first_state

Say = Callable[[str], None]


def started_with(
    config: ConfigDict, workdir: AnyPath, origin: Origin | None = None
) -> dict[str, str]:
    """Everything that all processes of a run have to be started with, by name."""
    values = {f"config.{name}": repr(value) for name, value in flatten(config).items()}
    full = str(workdir) if is_remote(workdir) else os.path.abspath(workdir)
    return {"--workdir": full, "--init_from": repr(origin), **values}


def changes_since(workdir: AnyPath, config: ConfigDict, run: Run) -> list[str]:
    """Changes of the config since the run in `workdir` began, as lines.

    A run without a checkpoint has nothing to protect, so its config may change in any way.

    Raises:
      UserError: a change that is not allowed, so that `workdir` holds another run; or data that
        have changed.
    """
    if (workdir / "config.json").exists():
        if not run_folder.has_checkpoint(workdir):
            return []
        saved = complete_config(read_config(workdir))
        networks = find_space(config).frozen
        hashes = networks.hashes(config, workdir, run.mesh) if networks else None
        return check_content(workdir, saved, config, lambda: run.source, hashes, always=True)
    folder = workdir / "checkpoints"
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(
            f"--workdir={workdir} has checkpoints but no config.json, so their run is unknown; "
            "choose another --workdir"
        )
    return []


def first_or_restored(
    run: Run, manager: Any, say: Say, weights: Weights | None = None
) -> tuple[TrainState, Window]:
    """The state of the last checkpoint, or a new one (collective).

    Args:
      run: the run.
      manager: see `checkpoint.opened`.
      say: prints a line.
      weights: the weights of a new state; None: drawn.

    Returns:
      The state, and the metrics since the last log line.

    Raises:
      UserError: no checkpoint can be read.
    """
    roles = tuple(phase.role for phase in run.method.phases)
    if not manager.all_steps():
        say("compiling the first weights ...")
        state = first_state(run.create, run.abstract, run.config.seed)
        return begin_with(state, weights) if weights else state, Window(roles)
    state, sums = checkpoint.restore_newest(manager, run.abstract, say)
    say(f"resumed at step {int(state.step)}")
    return state, Window(roles, sums)


def write_facts(workdir: AnyPath, config: ConfigDict, info: Mapping[str, Any]) -> None:
    """Write config.json, info.json and copies of the modules that the config names.

    Args:
      workdir: the run folder.
      config: complete config.
      info: result of `setup.describe`.
    """
    save_config(workdir, config)
    plugins.save_copies(workdir, config)
    run_folder.save_info(workdir, info)
