"""The frozen autoencoder of a run in latent space: its weights, the scale, the encoded data.

The config names the run folder of an autoencoder. When training begins, what decoding needs of it
is copied into the new run's own folder, `autoencoder/`, with the scale that was measured from the
data beside it: from then on that folder is used, and the other one may be deleted.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from flax import traverse_util
from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Array, PyTree
from ddgan_jax.data.source import Batch, Source
from ddgan_jax.data.traversal import hash_of, images_of
from ddgan_jax.interop.weight_files import content_hash
from ddgan_jax.io import checkpoint, run_folder
from ddgan_jax.io.cache import cache_folder
from ddgan_jax.io.storage import AnyPath, copy_tree, place
from ddgan_jax.methods.build import build_method
from ddgan_jax.networks.build import build_space
from ddgan_jax.parallel import mesh as meshes

FOLDER, SCALE = "autoencoder", "scale.json"
CHUNK = 256  # images encoded at a time


def in_latents(config: ConfigDict) -> bool:
    """Whether the run works in the latents of an autoencoder."""
    return config.get("space", {}).get("kind") == "latent"


def with_own(config: ConfigDict, workdir: AnyPath) -> ConfigDict:
    """`config` with the autoencoder that the run folder holds, if it does, for the one it names."""
    if not in_latents(config) or not (workdir / FOLDER / SCALE).exists():
        return config
    own = ConfigDict(config.to_dict())
    own.space.autoencoder = str(workdir / FOLDER)
    return own


def frozen_shapes(config: ConfigDict) -> dict[str, Any]:
    """Shapes of what `load_frozen` loads."""
    if not in_latents(config):
        return {}
    folder = place(config.space.autoencoder)
    method = build_method(run_folder.load_config(folder), run_folder.data_shape(folder))
    weights = jax.eval_shape(method.init, jax.random.key(0))["autoencoder"]
    return {"autoencoder": weights, "scale": jax.ShapeDtypeStruct((), jnp.float32)}


def load_frozen(config: ConfigDict, mesh: jax.sharding.Mesh) -> dict[str, Any]:
    """{"autoencoder": weights, "scale": of the run folder or 1} on all devices; {} elsewhere.

    Raises:
      UserError: no checkpoint in the autoencoder's folder, or a damaged one.
    """
    if not in_latents(config):
        return {}
    folder, same = place(config.space.autoencoder), meshes.replicated(mesh)
    abstract = frozen_shapes(config)["autoencoder"]
    wanted = checkpoint.with_sharding({"autoencoder": abstract}, same)
    with checkpoint.opened(folder, read_only=True) as manager:
        weights = checkpoint.restore_ema(manager, checkpoint.latest_step(manager), wanted)
    return {**weights, "scale": jax.device_put(np.float32(read_scale(folder) or 1.0), same)}


def untrained(
    config: ConfigDict, autoencoder: ConfigDict, shape: tuple[int, ...], folder: Path
) -> ConfigDict:
    """`config` in the latents of `autoencoder`, of which `folder` then says all but the weights.

    For what depends on shapes alone: FLOPs, bytes, speed. `shape`: of an image.
    """
    run_folder.save_config(folder, autoencoder)
    run_folder.save_info(folder, {"data": {"shape": list(shape)}})
    own = ConfigDict(config.to_dict())
    own.space.autoencoder = str(folder)
    return own


def read_scale(folder: AnyPath) -> float | None:
    """What was measured for the run that holds `folder`; None: nothing yet.

    Raises:
      UserError: scale.json is damaged.
    """
    path = folder / SCALE
    try:
        return float(json.loads(path.read_text())["scale"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error!r})") from None


def newest(folder: AnyPath) -> str:
    """Name of the last checkpoint; not asked of orbax, which takes all processes.

    Raises:
      UserError: there is none.
    """
    checkpoints = folder / "checkpoints"
    names = [path.name for path in checkpoints.iterdir()] if checkpoints.is_dir() else []
    saved = [name for name in names if name.isdecimal()]
    if not saved:
        raise UserError(f"no checkpoint in {checkpoints}; train first with --mode=train")
    return max(saved, key=int)


def adopt(config: ConfigDict, scale: float, workdir: AnyPath) -> None:
    """Copy what decoding needs of the autoencoder into the run folder, once, with the scale.

    By one process alone.
    """
    source, own = place(config.space.autoencoder), workdir / FOLDER
    if (own / SCALE).exists():
        return
    epath.Path(own).rmtree(missing_ok=True)  # of a run that was killed here
    step = newest(source)
    copy_tree(source / "checkpoints" / step, own / "checkpoints" / step, ("state", "window"))
    for name in ("config.json", "info.json"):
        (own / name).write_bytes((source / name).read_bytes())
    # Last: it says that the copy is whole.
    run_folder.write_atomically(own / SCALE, json.dumps({"scale": scale}) + "\n")


def encoded(config: ConfigDict, source: Source, frozen: Mapping[str, Any]) -> tuple[Source, float]:
    """The latents of all images of `source` as a source of their own, and their measured scale.

    The scale: the largest absolute latent, or the root of the mean square, as `config.space.unit`
    has it.

    With `config.data.flip` the mirrored images are encoded too (the latents of a mirrored image are
    no mirrored latents): the source is twice as long, and an epoch sees one half of it.

    The latents lie in the cache folder, in a file that is named by a hash of images, weights and
    architecture, and are read from there as they are needed.
    """
    shape = build_space(config, source.shape).shape
    weights = {
        "/".join(path): np.asarray(leaf)
        for path, leaf in traverse_util.flatten_dict(frozen["autoencoder"]).items()
    }
    theirs = run_folder.load_config(place(config.space.autoencoder))
    network = (sorted(theirs.autoencoder.to_dict().items()), theirs.dtype)
    parts = (1, content_hash(weights), network, hash_of(source), config.data.flip)
    name = hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
    path = cache_folder() / "latents" / f"{name}.npy"
    halves = 2 if config.data.flip else 1
    if not path.is_file():
        _write(path, config, source, frozen, halves, shape)
    try:
        latents = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); delete it, it is made anew") from None
    labels = np.concatenate(
        [
            source.take(np.arange(start, min(start + CHUNK, source.size)))["label"]
            for start in range(0, source.size, CHUNK)
        ]
    )

    def take(indices: np.ndarray) -> Batch:
        return {"image": np.asarray(latents[indices]), "label": labels[indices % source.size]}

    chunks = [latents[i : i + CHUNK] for i in range(0, len(latents), CHUNK)]  # still on the disk
    if config.space.unit == "largest":
        scale = max(float(np.abs(chunk).max()) for chunk in chunks)
    else:
        squares = sum(float(np.sum(np.square(chunk, dtype=np.float64))) for chunk in chunks)
        scale = (squares / latents.size) ** 0.5
    return Source(f"latents of {source.name}", halves * source.size, shape, take), scale


def _write(
    path: Path,
    config: ConfigDict,
    source: Source,
    frozen: Mapping[str, Any],
    halves: int,
    shape: tuple[int, ...],
) -> None:
    """Encode on the devices of this process; the file is whole or not there."""
    mesh = meshes.make_mesh(jax.local_devices())
    same, split = meshes.replicated(mesh), meshes.over_batch(mesh)
    size = meshes.round_up(CHUNK, mesh)
    space = build_space(config, source.shape)
    encode = jax.jit(space.encode, in_shardings=(split, same), out_shardings=same)
    params = {
        "autoencoder": jax.device_put(jax.device_get(frozen["autoencoder"]), same),
        "scale": jax.device_put(np.float32(1), same),
    }
    partial = path.with_name(f".{path.stem}.{jax.process_index()}.{os.getpid()}.npy")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        out = np.lib.format.open_memmap(
            partial, mode="w+", dtype=np.float32, shape=(halves * source.size, *shape)
        )
        done = 0
        for half in range(halves):
            for images in images_of(source, size):
                seen = images[:, :, ::-1] if half else images
                padded = np.resize(seen, (size, *seen.shape[1:]))
                found = np.asarray(encode(meshes.spread(padded, mesh), params))[: len(images)]
                out[done : done + len(images)] = found
                done += len(images)
        out.flush()
        os.replace(partial, path)
    except OSError as error:
        raise UserError(
            f"{path.parent} cannot be written to: {error.strerror or error}; latents of the data "
            "are kept there, $DDGAN_CACHE names another folder"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def random_latents(key: Array, config: ConfigDict, shape: tuple[int, ...], count: int) -> PyTree:
    """A batch for the train step in the place of real latents: speed does not depend on them."""
    space = build_space(config, shape)
    noise = jax.random.normal(key, (count, *space.shape))
    return {"image": noise, "label": jnp.zeros(count, jnp.int32)}
