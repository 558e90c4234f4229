"""Principal components of the training images, each divided by its standard deviation.

With the mean image m, orthonormal axes A [K, D] by decreasing variance and the deviations s along
them, all measured on the training images (their D numbers in [-1, 1]):

  encode(x) = A (x - m) / s,   decode(z) = clip(A^T (s z) + m, -1, 1).

This is a linear autoencoder whose training is one singular value decomposition. Networks that work
on K numbers instead of D train on images of any size in equal time; what decode(encode(x)) loses,
no sample has.
"""

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.config import check
from ddgan_jax.config.fields import integer, text
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.images import to_float
from ddgan_jax.core.types import Array, PyTree, Shape, Space
from ddgan_jax.data.source import Source
from ddgan_jax.interop.weight_files import content_hash
from ddgan_jax.io.read_npz import read_named_npz, read_npz
from ddgan_jax.io.run_folder import atomically, has_checkpoint
from ddgan_jax.io.storage import AnyPath, as_path, open_regular
from ddgan_jax.parallel.distributed import broadcast_from_zero, on_all_processes
from ddgan_jax.parallel.mesh import replicated
from ddgan_jax.spaces.entry import FrozenNetworks, SpaceEntry, check_unbounded
from ddgan_jax.spaces.pixels import KIND, pixels

FOLDER, FILE = "pca", "components.npz"
IMAGES = 10_000  # at most so many images are decomposed, evenly spaced
_NUMBERS = 2**27  # of all of them, 1 GiB as float64; fewer images of a large size
_SMALLEST = 1e-5  # of the largest deviation; below, a component is rounding


class Pca(NamedTuple):
    """Principal components of images of D = H * W * C numbers, of which there are R.

    Attributes:
      mean: float64 [D].
      axes: float64 [R, D], orthonormal rows by decreasing variance.
      deviations: float64 [R], standard deviations along the axes.
    """

    mean: np.ndarray
    axes: np.ndarray
    deviations: np.ndarray


def principal_components(images: np.ndarray) -> Pca:
    """The principal components of float32 [M, H, W, C]; R = min(M, H * W * C)."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    mean = flat.mean(axis=0)
    _, singular, axes = np.linalg.svd(flat - mean, full_matrices=False)
    return Pca(mean, axes, singular / np.sqrt(len(flat)))


def evenly_spaced(size: int, numbers: int) -> np.ndarray:
    """Indices of the images to decompose, among `size` images of so many numbers each."""
    count = min(size, IMAGES, max(_NUMBERS // numbers, 2))
    return np.linspace(0, size - 1, count).round().astype(int)


def as_floats(images: np.ndarray) -> np.ndarray:
    """Convert uint8 images to float32 by JAX, which rounds differently from NumPy."""
    return np.asarray(to_float(jnp.asarray(images)))


def pca(image_shape: Shape, components: int) -> Space:
    """The space of the first principal components, see the module's docstring.

    The frozen arrays are {"mean": [D], "axes": [K, D], "deviations": [K]}, float32. `encode` takes
    images uint8 or float32 [B, H, W, C] and returns float32 [B, K]; `decode` is the other way.

    Args:
      image_shape: (H, W, C) of an image.
      components: K.
    """
    images, exact = pixels(image_shape), jax.lax.Precision.HIGHEST

    def encode(data: Array, frozen: PyTree) -> Array:
        centered = images.encode(data, ()).reshape(data.shape[0], -1) - frozen["mean"]
        along = jnp.matmul(centered, frozen["axes"].T, precision=exact)
        z: Array = along / frozen["deviations"]
        return z

    def decode(z: Array, frozen: PyTree) -> Array:
        flat: Array = jnp.matmul(z * frozen["deviations"], frozen["axes"], precision=exact)
        return jnp.clip(flat + frozen["mean"], -1.0, 1.0).reshape(-1, *image_shape)

    return Space((components,), encode, decode)


def _from_config(config: ConfigDict, shape: Shape) -> Space:
    count = config.space.components
    check(config, "space.kind", len(shape) == 3, f"'pixels' for data of shape {shape}")
    allowed = f"at most {np.prod(shape)}, the numbers of an image"
    check(config, "space.components", count <= np.prod(shape), allowed)
    check_unbounded(config, "with config.space.kind='pca' (components reach beyond 1)")
    return pca(shape, count)


def _shapes(config: ConfigDict, shape: Shape) -> dict[str, Any]:
    count, numbers = config.space.components, int(np.prod(shape))
    sizes = {"mean": (numbers,), "axes": (count, numbers), "deviations": (count,)}
    return {name: jax.ShapeDtypeStruct(size, jnp.float32) for name, size in sizes.items()}


def _use_local_copy(config: ConfigDict, workdir: AnyPath) -> ConfigDict:
    """`config` with the path of the run folder's own components.

    Those of a run that has no checkpoint yet are measured again.

    Raises:
      UserError: the run has a checkpoint, and its components are missing.
    """
    if not has_checkpoint(workdir):
        return config
    file = workdir / FOLDER / FILE
    if not file.exists():
        raise UserError(
            f"{file} is missing, without which samples cannot be decoded; copy {FOLDER}/ from "
            "where this run folder comes from"
        )
    result = ConfigDict(config.to_dict())
    result.space.file = str(file)
    return result


def _read(config: ConfigDict, shape: Shape) -> dict[str, np.ndarray]:
    """The arrays in `config.space.file`.

    Raises:
      UserError: there is no such file, it is damaged, or it has other sizes.
    """
    named = f"config.space.file is {config.space.file!r}"
    arrays = read_named_npz(as_path(config.space.file), ("mean", "axes", "deviations"), named)
    for name, wanted in _shapes(config, shape).items():
        found = arrays.get(name)
        if found is None or found.shape != wanted.shape or found.dtype != wanted.dtype:
            what = "is missing" if found is None else f"is {found.dtype} {found.shape}"
            raise UserError(
                f"{named}; array {name!r} {what}, float32 {wanted.shape} is needed for "
                f"config.space.components = {config.space.components} of {shape} images"
            )
        if not np.isfinite(found).all():
            raise UserError(f"{named}; array {name!r} has numbers that are not finite")
    if arrays["deviations"].min() <= 0:
        raise UserError(f"{named}; array 'deviations' has numbers that are not positive")
    return arrays


def _load(config: ConfigDict, shape: Shape, mesh: jax.sharding.Mesh) -> dict[str, Any]:
    """The arrays of `config.space.file`, or without one those of no data, which `feed` replaces."""
    if config.space.file:
        arrays = _read(config, shape)
    else:
        arrays = {name: np.ones(x.shape, np.float32) for name, x in _shapes(config, shape).items()}
    return dict(jax.device_put(arrays, replicated(mesh)))


def _measured(config: ConfigDict, source: Source) -> dict[str, np.ndarray]:
    """The components of the training images, and of their mirror images with `data.flip`.

    Raises:
      UserError: the images have fewer components than `config.space.components`.
    """
    chosen = evenly_spaced(source.size, int(np.prod(source.shape)))
    images = as_floats(source.take(chosen)["image"])
    if config.data.flip:
        images = np.concatenate([images, images[:, :, ::-1]])
    found, count = principal_components(images), config.space.components
    rank = int(np.sum(found.deviations > _SMALLEST * found.deviations[0]))
    allowed = f"at most {rank}, the independent components of {source.size:,} images"
    check(config, "space.components", 0 < count <= rank, allowed)
    arrays = {"mean": found.mean, "axes": found.axes[:count]}
    arrays["deviations"] = found.deviations[:count]
    return {name: x.astype(np.float32) for name, x in arrays.items()}


def _feed(
    config: ConfigDict, source: Source, frozen: dict[str, Any]
) -> tuple[Source, dict[str, Any]]:
    """Return the images, and `frozen` with the components of process 0 unless a file has them."""
    if config.space.file:
        return source, frozen
    measured = broadcast_from_zero(on_all_processes(lambda: _measured(config, source)))
    placed = {name: jax.device_put(x, frozen[name].sharding) for name, x in measured.items()}
    return source, {**frozen, **placed}


def _copy_into(config: ConfigDict, frozen: Mapping[str, Any], workdir: AnyPath) -> None:
    """Write the components into a run folder that has no checkpoint; called by one process."""
    if has_checkpoint(workdir):
        return
    content = io.BytesIO()
    mean, axes, deviations = (np.asarray(frozen[k]) for k in ("mean", "axes", "deviations"))
    np.savez(content, mean=mean, axes=axes, deviations=deviations)
    (workdir / FOLDER).mkdir(parents=True, exist_ok=True)
    file = workdir / FOLDER / FILE
    if isinstance(file, Path):
        with atomically(file) as temporary:
            temporary.write_bytes(content.getvalue())
    else:  # object stores write atomically
        file.write_bytes(content.getvalue())


def _batch(key: Array, config: ConfigDict, shape: Shape, count: int) -> dict[str, Array]:
    image = jax.random.randint(key, (count, *shape), 0, 256).astype(jnp.uint8)
    return {"image": image, "label": jnp.zeros(count, jnp.int32)}


def _hashes(
    config: ConfigDict, workdir: AnyPath, mesh: jax.sharding.Mesh
) -> Callable[[], tuple[str, str]]:
    """See `FrozenNetworks.hashes`; a run's components are its own, whatever the config names."""
    del config, mesh

    def both() -> tuple[str, str]:
        with open_regular(workdir / FOLDER / FILE) as opened:
            found = content_hash(read_npz(opened))
        return found, found

    return both


SPACE = SpaceEntry(
    _from_config,
    {
        "space.kind": KIND,
        "space.components": integer(
            128, 1, 2**16, help="principal components of the training images that are kept"
        ),
        "space.file": text(
            "", help="pca/components.npz of another run; empty: measured on the training images"
        ),
    },
    FrozenNetworks(
        use_local_copy=_use_local_copy,
        check=lambda config: None,
        shapes=_shapes,
        load=_load,
        feed=_feed,
        copy_into=_copy_into,
        batch=_batch,
        hashes=_hashes,
        folder=FOLDER,
        field="space.file",
        copy=f"{FOLDER}/{FILE}",
    ),
)
