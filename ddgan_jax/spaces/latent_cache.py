"""Cache of encoded training data: encode a data set once, then read its latents from a file."""

import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.config.stored import read_config
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import Shape, Space
from ddgan_jax.data import all_labels
from ddgan_jax.data.source import Batch, Source
from ddgan_jax.data.traversal import hash_of, images_of
from ddgan_jax.io.cache import cache_folder
from ddgan_jax.io.run_folder import atomically, write_atomically
from ddgan_jax.io.storage import as_path, open_regular
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.spaces.autoencoder_folder import weights_hash

CHUNK = 256  # images encoded per call


def encoded(
    config: ConfigDict, space: Space, source: Source, frozen: Mapping[str, Any]
) -> tuple[Source, float]:
    """Encode all images of a source, or read their latents from the cache.

    With `config.data.flip` the mirrored images are encoded too, because the latents of a mirrored
    image are not the mirrored latents; they follow the others, and the source is twice as long.

    The name of the file in the cache folder is a hash of the images, the weights and the
    architecture of the autoencoder.

    Args:
      config: config of the run in latents.
      space: the latent space, with what is stored as its `shape` and `encode`: latents, or with
        `space.draw` their mean and log-variance.
      source: the images.
      frozen: the autoencoder's weights, see `autoencoder_folder.load`.

    Returns:
      What is stored as a source, unscaled, and the scale of the latents: the largest absolute one,
      or with `config.space.unit` "deviation" the root mean square.

    Raises:
      UserError: the cache folder cannot be written to, or the file is damaged.
    """
    theirs = read_config(as_path(config.space.autoencoder))
    network = (sorted(theirs.autoencoder.to_dict().items()), theirs.dtype)
    sampled = ("log-variance",) if space.draw else ()
    parts = (1, weights_hash(frozen), network, hash_of(source), config.data.flip, *sampled)
    name = hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
    path = cache_folder() / "latents" / f"{name}.npy"
    halves = 2 if config.data.flip else 1
    wanted = ("float32", (halves * source.size, *space.shape))
    if not (path.is_file() and _sum_of(path).is_file()):
        _write(path, space, source, frozen, halves)
    try:
        found = _header(path)
        latents = np.lib.format.open_memmap(path, mode="r") if found == wanted else None
    except (OSError, ValueError, OverflowError, UserError) as error:
        raise UserError(
            f"{path} cannot be read ({error}); delete it, and it will be written again"
        ) from None
    if latents is None:
        raise UserError(
            f"{path} has {found[0]} {found[1]}, and {wanted[0]} {wanted[1]} is needed; delete "
            "it, and it will be written again"
        )
    if _sum_of(path).read_text() != _sum(latents):
        raise UserError(f"{path} is damaged; delete it, and it will be written again")
    labels = all_labels(source)

    def take(indices: np.ndarray) -> Batch:
        return {"image": np.asarray(latents[indices]), "label": labels[indices % source.size]}

    result = source._replace(
        name=f"latents of {source.name}",
        size=halves * source.size,
        shape=space.shape,
        take=take,
        labels=lambda: np.tile(labels, halves),
        in_memory=False,
    )
    channels = space.shape[-1] // (2 if space.draw else 1)
    scale = _scale_of(latents[..., :channels], config.space.unit)
    if not 0 < scale < float("inf"):
        raise UserError(
            f"the latents in {path} have scale {scale}, and a positive number is needed; the "
            "autoencoder gives NaN, infinity or zeros only, or the file is damaged: then delete it"
        )
    return result, scale


def _header(path: Path) -> tuple[str, tuple[int, ...]]:
    """Type and shape of the array in an npy file, which is not read."""
    with open_regular(path) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("another version of the format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    return str(dtype), shape


def _sum_of(path: Path) -> Path:
    """The file with the checksum of the latents in `path`."""
    return path.with_suffix(".crc32")


def _sum(latents: np.ndarray) -> str:
    """The CRC-32 of all latents, in hexadecimal."""
    found = 0
    for start in range(0, len(latents), CHUNK):
        found = zlib.crc32(np.ascontiguousarray(latents[start : start + CHUNK]).tobytes(), found)
    return f"{found:08x}"


def _scale_of(latents: np.ndarray, unit: str) -> float:
    """The largest absolute latent, or with `unit` "deviation" the root mean square."""
    chunks = [latents[i : i + CHUNK] for i in range(0, len(latents), CHUNK)]  # memory-mapped
    if unit == "largest":
        return float(np.max([np.abs(chunk).max() for chunk in chunks]))  # NaN if there is one
    squares = sum(float(np.sum(np.square(chunk, dtype=np.float64))) for chunk in chunks)
    return float((squares / latents.size) ** 0.5)


def _write(
    path: Path, space: Space, source: Source, frozen: Mapping[str, Any], halves: int
) -> None:
    """Encode on the devices of this process and write the file atomically."""
    mesh = meshes.make_mesh(jax.local_devices())
    same, split = meshes.replicated(mesh), meshes.batch_sharded(mesh)
    size = meshes.round_up(CHUNK, mesh)
    encode = jax.jit(space.encode, in_shardings=(split, same), out_shardings=same)
    params = {
        "autoencoder": jax.device_put(jax.device_get(frozen["autoencoder"]), same),
        "scale": jax.device_put(np.float32(1), same),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (halves * source.size, *space.shape)
        with atomically(path) as partial:
            out = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=shape)
            done = 0
            for half in range(halves):
                for images in images_of(source, size):
                    seen = images[:, :, ::-1] if half else images
                    padded = np.resize(seen, (size, *seen.shape[1:]))
                    found = np.asarray(encode(meshes.shard_rows(padded, mesh), params))
                    out[done : done + len(images)] = found[: len(images)]
                    done += len(images)
            out.flush()
            found_sum = _sum(out)
        write_atomically(_sum_of(path), found_sum)
    except OSError as error:
        raise UserError(
            f"{path.parent} cannot be written to: {error.strerror or error}; latents of the data "
            "are cached there, $DDGAN_CACHE names another folder"
        ) from error


def random_latents(key: jax.Array, shape: Shape, count: int) -> dict[str, jax.Array]:
    """A batch of Gaussian noise with the shape of latents, to measure speed with."""
    noise = jax.random.normal(key, (count, *shape))
    return {"image": noise, "label": jax.numpy.zeros(count, jax.numpy.int32)}
