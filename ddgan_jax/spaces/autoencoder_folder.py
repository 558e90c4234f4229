"""Load the frozen autoencoder of a latent space, and copy it into the run folder that uses it.

`config.space.autoencoder` names the run folder of a trained autoencoder. When training in its
latents begins, `copy_into` copies its config, info and averaged weights to `autoencoder/` in the
new run folder, with the scale of the latents in `autoencoder/scale.json`. From then on the copy is
used.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from flax import traverse_util
from ml_collections import ConfigDict

from ddgan_jax.config import check
from ddgan_jax.config.stored import read_config, save_config
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Shape
from ddgan_jax.interop.weight_files import content_hash
from ddgan_jax.io import checkpoint
from ddgan_jax.io.read_json import POSITIVE, read_json
from ddgan_jax.io.run_folder import data_shape, has_checkpoint, save_info, write_atomically
from ddgan_jax.io.storage import AnyPath, as_path, copy_file, copy_tree
from ddgan_jax.networks import AUTOENCODERS, build_network
from ddgan_jax.parallel.mesh import replicated

FOLDER, SCALE = "autoencoder", "scale.json"


def use_local_copy(config: ConfigDict, workdir: AnyPath) -> ConfigDict:
    """`config` with the path of the run folder's own copy of the autoencoder, if there is one.

    While the run has no checkpoint, a copy counts only if the folder that `config` names is gone.

    Raises:
      UserError: the run has a checkpoint, and its copy is incomplete.
    """
    copy = workdir / FOLDER
    if not (copy / SCALE).exists():
        if has_checkpoint(workdir):
            raise UserError(
                f"{copy / SCALE} is missing, without which latents have no scale; copy "
                f"{FOLDER}/ from where this run folder comes from"
            )
        return config
    if not (has_checkpoint(workdir) or _is_for(config, workdir)):
        return config
    result = ConfigDict(config.to_dict())
    result.space.autoencoder = str(copy)
    return result


def _is_for(config: ConfigDict, workdir: AnyPath) -> bool:
    """Whether a run folder without a checkpoint has the only copy of the same latent space.

    As long as the folder that the config names exists, it is copied anew: it may have been trained
    again.
    """
    named = as_path(config.space.autoencoder)
    if not (workdir / "config.json").exists() or (named / "config.json").exists():
        return False
    saved = read_config(workdir)
    return bool(saved.get("space") == config.space and saved.data == config.data)


def build_autoencoder(config: ConfigDict, shape: Shape) -> Any:
    """Build the network of the autoencoder that `config.space.autoencoder` names.

    Args:
      config: config of the run in latents.
      shape: (H, W, C) of an image.

    Returns:
      The Flax module, see `core.types.Autoencoder`.

    Raises:
      UserError: the folder is not the run folder of an autoencoder, is damaged, or is that of an
        autoencoder for images of another shape.
    """
    name = config.space.autoencoder
    folder = as_path(name)
    has = (folder / "config.json").exists() and (folder / "info.json").exists()
    allowed = "the run folder of a trained autoencoder (configs/autoencoder_*.py)"
    check(config, "space.autoencoder", has and name != "", allowed)
    theirs = read_config(folder)
    allowed = f"a run of an autoencoder, not of method {theirs.method!r},"
    check(config, "space.autoencoder", "autoencoder" in theirs, allowed)
    known = data_shape(folder)
    allowed = f"an autoencoder of {shape} images, not of {known},"
    check(config, "space.autoencoder", known == shape, allowed)
    return build_network(theirs, "autoencoder", AUTOENCODERS, shape)


def check_trained(config: ConfigDict) -> None:
    """Raise a `UserError` if the folder of the autoencoder has no checkpoint."""
    newest(as_path(config.space.autoencoder))


def shapes(config: ConfigDict, shape: Shape) -> dict[str, Any]:
    """Shapes and dtypes of what `load` returns, for images of `shape`.

    Raises:
      UserError: see `build_autoencoder`.
    """
    network = build_autoencoder(config, shape)
    weights = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, *shape)))["params"]
    return {"autoencoder": weights, "scale": jax.ShapeDtypeStruct((), jnp.float32)}


def load(config: ConfigDict, shape: Shape, mesh: jax.sharding.Mesh) -> dict[str, Any]:
    """Load the frozen parameters of the latent space, replicated over the devices.

    Args:
      config: config of the run in latents.
      shape: (H, W, C) of an image.
      mesh: the devices.

    Returns:
      {"autoencoder": averaged weights, "scale": the number in scale.json, or 1 without that file}.

    Raises:
      UserError: the folder of the autoencoder has no checkpoint or a damaged one, or see
        `build_autoencoder` and `read_scale`.
    """
    folder, same = as_path(config.space.autoencoder), replicated(mesh)
    wanted = checkpoint.with_sharding({"autoencoder": shapes(config, shape)["autoencoder"]}, same)
    with checkpoint.opened(folder, read_only=True) as manager:
        weights = checkpoint.restore_ema(manager, checkpoint.step_to_restore(manager), wanted)
    return {**weights, "scale": jax.device_put(np.float32(read_scale(folder) or 1.0), same)}


def read_scale(folder: AnyPath) -> float | None:
    """The number in scale.json; None if there is no such file.

    Raises:
      UserError: scale.json cannot be read, or its number is not positive and finite.
    """
    try:
        found = read_json(folder / SCALE, {"scale": POSITIVE}, folder=folder)
    except FileNotFoundError:
        return None
    return float(found["scale"])


def weights_hash(frozen: Mapping[str, Any]) -> str:
    """The hash that identifies the weights of an autoencoder, see `load`; collective."""
    flat = traverse_util.flatten_dict(frozen["autoencoder"])
    return content_hash({"/".join(path): np.asarray(leaf) for path, leaf in flat.items()})


def hashes(
    config: ConfigDict, workdir: AnyPath, mesh: jax.sharding.Mesh
) -> Callable[[], tuple[str, str]]:
    """A function that hashes the weights of a run's own autoencoder and of one elsewhere.

    Args:
      config: names the other autoencoder.
      workdir: the run folder.
      mesh: the devices.

    Returns:
      () -> (hash of the copy in `workdir`, hash of the weights that `config` names).
    """
    shape = data_shape(workdir)
    return lambda: (
        weights_hash(load(use_local_copy(config, workdir), shape, mesh)),
        weights_hash(load(config, shape, mesh)),
    )


def newest(folder: AnyPath) -> str:
    """Name of the last checkpoint; can be called by a single process, unlike Orbax's manager.

    Raises:
      UserError: there is no checkpoint.
      OSError: the folder cannot be listed.
    """
    checkpoints = folder / "checkpoints"
    names = [path.name for path in checkpoints.iterdir()] if checkpoints.is_dir() else []
    saved = [name for name in names if name.isdecimal()]
    if not saved:
        raise UserError(f"no checkpoint in {checkpoints}; train first: python -m ddgan_jax train")
    return max(saved, key=int)


def copy_into(config: ConfigDict, frozen: Mapping[str, Any], workdir: AnyPath) -> None:
    """Copy the autoencoder and the scale of its latents into a run folder; called by one process.

    Does nothing if the run folder has a complete copy.

    Args:
      config: config of the run in latents.
      frozen: result of `load`, with the final "scale".
      workdir: the run folder.

    Raises:
      UserError: the folder of the autoencoder has no checkpoint.
      OSError: a file cannot be read or written.
    """
    source, copy = as_path(config.space.autoencoder), workdir / FOLDER
    if (copy / SCALE).exists() and (has_checkpoint(workdir) or _is_for(config, workdir)):
        return
    epath.Path(copy).rmtree(missing_ok=True)  # an incomplete copy of a run that was killed
    step = newest(source)
    copy_tree(
        source / "checkpoints" / step, copy / "checkpoints" / step, ("state", "window"), source
    )
    for name in ("config.json", "info.json"):
        copy_file(source / name, copy / name, source)
    # Written last, because it marks the copy as complete.
    scale = {"scale": float(frozen["scale"])}
    write_atomically(copy / SCALE, json.dumps(scale) + "\n")


def untrained(
    config: ConfigDict, autoencoder: ConfigDict, shape: Shape, folder: Path
) -> ConfigDict:
    """Write the config and info of an autoencoder to a folder without checkpoints.

    This is enough to build its network for FLOP counts and timing.

    Args:
      config: config of a method in latents.
      autoencoder: config of the autoencoder.
      shape: (H, W, C) of an image.
      folder: folder to write config.json and info.json to.

    Returns:
      A copy of `config` whose `space.autoencoder` is `folder`.
    """
    save_config(folder, autoencoder)
    save_info(folder, {"data": {"shape": list(shape)}})
    result = ConfigDict(config.to_dict())
    result.space.autoencoder = str(folder)
    return result
