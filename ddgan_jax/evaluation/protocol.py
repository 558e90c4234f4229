"""The evaluation protocol: features of real images and of samples, and the metrics of both.

`extract` computes features on all devices of a mesh, `reference` does so for real images and caches
the result on disk, and `measure` computes the metrics. Numbers are comparable only if every detail
of the protocol agrees, so `describe` reports the details of a feature network.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.core.types import PyTree
from ddgan_jax.data.source import Source
from ddgan_jax.data.traversal import hash_of, images_of
from ddgan_jax.evaluation.progress import Progress
from ddgan_jax.features.extractor import Extractor
from ddgan_jax.io.cache import cache_folder
from ddgan_jax.io.read_npz import read_npz
from ddgan_jax.io.run_folder import atomically
from ddgan_jax.io.storage import open_regular
from ddgan_jax.metrics.metric import Comparison, Metric
from ddgan_jax.metrics.moments import Moments, moments
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.parallel.batching import in_batches, rebatch
from ddgan_jax.parallel.distributed import all_true

KEPT = 50_000  # features of real images kept for KID, precision and recall, evenly spaced


class Features(NamedTuple):
    """Output of a feature network for a set of images, on the host.

    Attributes:
      features: float32 [N, F].
      logits: float32 [N, K], or None if the network has no logits.
    """

    features: np.ndarray
    logits: np.ndarray | None


class Reference(NamedTuple):
    """Reference statistics: features of real images.

    Attributes:
      moments: mean and covariance of the features of all images.
      features: float32 [at most KEPT, F].
      images_hash: first 16 hexadecimal digits of the sha256 of shape and pixels, in order.
    """

    moments: Moments
    features: np.ndarray
    images_hash: str


def to_channels(images: np.ndarray, extractor: Extractor, repeat_grey: bool) -> np.ndarray:
    """Bring images to the number of channels that a feature network takes.

    Args:
      images: uint8 [N, H, W, C].
      extractor: the feature network.
      repeat_grey: whether to repeat the channel of gray images for a network of color images.

    Raises:
      UserError: gray images for a network of color images without `repeat_grey`, or color images
        for a network of gray images.
    """
    have, want = images.shape[-1], extractor.channels
    if have == want:
        return images
    if have == 1 and repeat_grey:
        return np.repeat(images, want, axis=-1)
    if have == 1:
        raise UserError(
            f"config.eval.extractors has {extractor.name}, a network of color images, and the "
            "images are gray; config.eval.repeat_grey=true repeats their channel three times"
        )
    raise UserError(
        f"config.eval.extractors has {extractor.name}, a network of gray images, and the images "
        f"have {have} channels; 'inception' is needed"
    )


def extract(
    extractor: Extractor,
    batches: Iterable[np.ndarray],
    mesh: jax.sharding.Mesh,
    *,
    batch_size: int,
    total: int,
    repeat_grey: bool = False,
    label: str = "features",
) -> Features:
    """Compute features of images on all devices, and show the progress.

    Args:
      extractor: the feature network.
      batches: uint8 [b, H, W, C] each, of any b.
      mesh: devices; each batch is split over them.
      batch_size: images per compiled call, rounded up to a multiple of the number of devices.
      total: number of images, for the progress.
      repeat_grey: see `to_channels`.
      label: label of the progress.
    """
    same, split = meshes.replicated(mesh), meshes.batch_sharded(mesh)
    apply = jax.jit(extractor.apply, in_shardings=(same, split), out_shardings=same)
    params = jax.device_put(extractor.params, same)  # once for all batches
    size = meshes.round_up(batch_size, mesh)

    def of_batch(images: np.ndarray) -> PyTree:
        return apply(params, meshes.shard_rows(to_channels(images, extractor, repeat_grey), mesh))

    features, logits = [], []
    with Progress(total, label) as progress:
        for images in rebatch(batches, size):
            for out in in_batches(of_batch, [images], size):
                features.append(out.features)
                if out.logits is not None:
                    logits.append(out.logits)
            progress.update(len(images))
    return Features(np.concatenate(features), np.concatenate(logits) if logits else None)


def reference(
    source: Source,
    extractor: Extractor,
    mesh: jax.sharding.Mesh,
    *,
    batch_size: int,
    repeat_grey: bool = False,
) -> Reference:
    """Reference statistics of a source, from the cache if they are there.

    The name of the cached file is a hash of the pixels, shape and number of the images, the feature
    network and its weights, and how images are resized and gray ones are treated.

    Args:
      source: the real images.
      extractor: the feature network.
      mesh: devices; all processes must call this.
      batch_size: see `extract`.
      repeat_grey: see `to_channels`.
    """
    images_hash = hash_of(source)
    parts = (1, images_hash, extractor.name, extractor.weights_hash, extractor.resize, repeat_grey)
    name = hashlib.sha256(repr((*parts, KEPT)).encode()).hexdigest()[:24]
    path = cache_folder() / "statistics" / f"{name}.npz"
    cached = _read(path, source.size)
    # All processes must extract together, and each looks into the cache of its own machine.
    if all_true(cached is not None):
        assert cached is not None
        return Reference(*cached, images_hash)
    found = extract(
        extractor,
        images_of(source),
        mesh,
        batch_size=batch_size,
        total=source.size,
        repeat_grey=repeat_grey,
        label=f"{extractor.name} of {source.name}",
    ).features
    chosen = np.linspace(0, len(found) - 1, min(len(found), KEPT)).round().astype(int)
    result = Reference(moments(found), found[chosen], images_hash)
    _write(path, result)
    return result


_DTYPES = {
    "count": np.dtype(np.int64),
    "mean": np.dtype(np.float64),
    "covariance": np.dtype(np.float64),
    "features": np.dtype(np.float32),
    "digest": np.dtype(np.uint8),
}


def _read(path: Path, size: int) -> tuple[Moments, np.ndarray] | None:
    """Cached moments and features of `size` images; None if the file is missing or damaged."""
    try:
        with open_regular(path) as opened:
            arrays = read_npz(opened, _DTYPES)
    except Exception:  # zipfile, zlib and NumPy raise many kinds for damaged files
        return None
    if {name: array.dtype for name, array in arrays.items()} != _DTYPES:
        return None
    count, mean, covariance, features, digest = (arrays[name] for name in _DTYPES)
    shapes = ((), (mean.size,), (mean.size, mean.size), (min(size, KEPT), mean.size), (32,))
    if tuple(array.shape for array in (count, mean, covariance, features, digest)) != shapes:
        return None
    found = Moments(int(count), mean, covariance)
    if int(count) != size or digest.tobytes() != _digest(found, features):
        return None
    variances = np.diagonal(covariance)
    # |c_ij| <= sqrt(c_ii c_jj) holds for every covariance, so that no distance is negative.
    bound = np.sqrt(np.outer(variances, variances)) if (variances >= 0).all() else np.nan
    finite = all(np.isfinite(array).all() for array in (mean, covariance, features))
    if not finite or not (np.abs(covariance) <= bound * (1 + 1e-6) + 1e-12).all():
        return None
    return found, features


def _digest(found: Moments, features: np.ndarray) -> bytes:
    """The sha256 of moments and features."""
    digest = hashlib.sha256(str(found.count).encode())
    for array in (found.mean, found.covariance, features):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()


def _write(path: Path, result: Reference) -> None:
    digest = np.frombuffer(_digest(result.moments, result.features), np.uint8)
    contents = {**result.moments._asdict(), "features": result.features, "digest": digest}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomically(path) as temporary:  # the folder may be shared
            np.savez(temporary, **contents)
    except OSError:  # without a cache the evaluation is slower, but correct
        pass


def measure(
    samples: Features,
    data: Reference,
    extractor: Extractor,
    metrics: Iterable[Metric],
    mesh: jax.sharding.Mesh,
    seed: int = 0,
) -> dict[str, float]:
    """Metrics of samples with respect to real images.

    Args:
      samples: features of the samples.
      data: features of the real images, by the same network.
      extractor: the feature network. Names of its numbers end in `extractor.suffix`: "fid", "kid"
        and "precision" are of Inception only.
      metrics: those that need logits are skipped if there are none.
      mesh: devices to compute on.
      seed: seed of the random subsets.

    Returns:
      The numbers by the names that reports show.
    """
    comparison = Comparison(
        features=samples.features,
        logits=samples.logits,
        real_moments=data.moments,
        real_features=data.features,
        network=extractor,
        mesh=mesh,
        seed=seed,
    )
    result: dict[str, float] = {}
    for metric in metrics:
        if not metric.needs_logits or samples.logits is not None:
            result |= metric.compute(comparison)
    return {name: float(value) for name, value in result.items()}


def describe(extractor: Extractor, repeat_grey: bool) -> dict[str, Any]:
    """The entry of a feature network in the protocol of a report."""
    return {
        "name": extractor.name,
        "weights_hash": extractor.weights_hash,
        "resize": extractor.resize,
        "grey": "repeated three times" if repeat_grey and extractor.channels == 3 else "as it is",
    }
