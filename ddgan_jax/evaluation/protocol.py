"""The protocol of an evaluation: which images, which features, compared with what, and how.

`extract` turns images into features on all devices of a mesh, `reference` does so for the data (and
remembers it on the disk), `measure` turns both into numbers. A small difference of protocol makes
numbers of this field incomparable: `describe` says all of it.
"""

import hashlib
import os
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm import tqdm

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.source import Source
from ddgan_jax.features.classes import class_report
from ddgan_jax.features.extractor import Extractor
from ddgan_jax.io.run_folder import atomically
from ddgan_jax.metrics.frechet import Moments, frechet_distance, moments
from ddgan_jax.metrics.inception_score import inception_score
from ddgan_jax.metrics.kernel import kernel_distance
from ddgan_jax.metrics.precision_recall import precision_recall
from ddgan_jax.parallel import mesh as meshes
from ddgan_jax.parallel.distributed import everywhere

KEPT = 50_000  # features of the data kept for KID, precision and recall; evenly spaced if more


class Features(NamedTuple):
    """Of a set of images, on the host.

    Attributes:
      features: float32 [N, F].
      logits: float32 [N, K], or None.
    """

    features: np.ndarray
    logits: np.ndarray | None


class Reference(NamedTuple):
    """Of the data.

    Attributes:
      moments: of the features of all images.
      features: float32 [at most KEPT, F].
      images_hash: first 16 hexadecimal digits of the sha256 of shape and pixels, in order.
    """

    moments: Moments
    features: np.ndarray
    images_hash: str


def to_channels(images: np.ndarray, extractor: Extractor, repeat_grey: bool) -> np.ndarray:
    """uint8 [N, H, W, C] with as many channels as the extractor takes.

    Raises:
      UserError: grey images for a network of colour images, unless `repeat_grey`; or the converse.
    """
    have, want = images.shape[-1], extractor.channels
    if have == want:
        return images
    if have == 1 and repeat_grey:
        return np.repeat(images, want, axis=-1)
    if have == 1:
        raise UserError(
            f"config.eval.extractors has {extractor.name}, a network of colour images, and these "
            "are grey; config.eval.repeat_grey=true shows it the channel three times"
        )
    raise UserError(
        f"config.eval.extractors has {extractor.name}, a network of grey images, and these have "
        f"{have} channels; 'inception' is needed"
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
    """Features of all images, a batch at a time split over the devices; with a progress bar.

    Args:
      extractor: the network.
      batches: uint8 [b, H, W, C] each, of any b.
      mesh: the devices.
      batch_size: images per compiled call, rounded up to a multiple of the devices. The last batch
        is filled up and cut: one compilation.
      total: number of images, for the bar.
      repeat_grey: see `to_channels`.
      label: of the bar.
    """
    same, split = meshes.replicated(mesh), meshes.over_batch(mesh)
    apply = jax.jit(extractor.apply, in_shardings=(same, split), out_shardings=same)
    params = jax.device_put(extractor.params, same)  # once, not with every batch
    size = meshes.round_up(batch_size, mesh)
    features, logits = [], []
    quiet = True if jax.process_index() else None  # None: only where a person watches
    with tqdm(total=total, desc=label, unit=" images", leave=False, disable=quiet) as bar:
        for images in _rebatch(batches, size):
            count = len(images)
            full = np.pad(images, ((0, size - count), (0, 0), (0, 0), (0, 0)))
            full = to_channels(full, extractor, repeat_grey)
            out = jax.device_get(apply(params, meshes.spread(full, mesh)))
            features.append(out.features[:count])
            if out.logits is not None:
                logits.append(out.logits[:count])
            bar.update(count)
    return Features(np.concatenate(features), np.concatenate(logits) if logits else None)


def _rebatch(batches: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The same images in batches of `size`, the last one smaller."""
    waiting: list[np.ndarray] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += len(batch)
        while count >= size:
            joined = np.concatenate(waiting)
            yield joined[:size]
            waiting, count = [joined[size:]], count - size
    if count:
        yield np.concatenate(waiting)


def images_of(source: Source, batch_size: int = 256) -> Iterator[np.ndarray]:
    """All images of a source in order, uint8 [b, H, W, C]."""
    for start in range(0, source.size, batch_size):
        yield source.take(np.arange(start, min(start + batch_size, source.size)))["image"]


def hash_of(source: Source) -> str:
    """First 16 hexadecimal digits of the sha256 of number, shape and pixels of all its images."""
    digest = hashlib.sha256(str((source.size, source.shape)).encode())
    for images in images_of(source):
        digest.update(np.ascontiguousarray(images).tobytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """Where statistics of data are kept: $DDGAN_CACHE, or ~/.cache/ddgan_jax."""
    return Path(os.environ.get("DDGAN_CACHE") or Path.home() / ".cache" / "ddgan_jax").expanduser()


def reference(
    source: Source,
    extractor: Extractor,
    mesh: jax.sharding.Mesh,
    *,
    batch_size: int,
    repeat_grey: bool = False,
) -> Reference:
    """Features of the data, from the cache if they are there.

    The file's name is a hash of pixels, shape, number of images, feature network and its weights,
    resize and treatment of grey images: whatever changes one of them makes another file.
    """
    images_hash = hash_of(source)
    parts = (1, images_hash, extractor.name, extractor.weights_hash, extractor.resize, repeat_grey)
    name = hashlib.sha256(repr((*parts, KEPT)).encode()).hexdigest()[:24]
    path = cache_folder() / "statistics" / f"{name}.npz"
    cached = _read(path)
    # Extracting takes all processes, and each looks into the cache of its own machine.
    if everywhere(cached is not None):
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


def _read(path: Path) -> tuple[Moments, np.ndarray] | None:
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            count = int(file["count"])
            return Moments(count, file["mean"], file["covariance"]), file["features"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # not there, or cut short: computed anew


def _write(path: Path, result: Reference) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomically(path, jax.process_index()) as temporary:  # the folder may be shared
            np.savez(temporary, **result.moments._asdict(), features=result.features)
    except OSError:  # a cache that cannot be written to costs time, not the evaluation
        pass


def measure(
    samples: Features,
    data: Reference,
    extractor: Extractor,
    metrics: Iterable[str],
    mesh: jax.sharding.Mesh,
    seed: int = 0,
) -> dict[str, float]:
    """The numbers of a set of samples, by name.

    Of Inception's features: fid, kid, kid_std, precision, recall, inception_score and its _std. Of
    any other network's the names end in that network's name, so that nobody takes one for another.
    """
    chosen = set(metrics)
    result: dict[str, float] = {}
    of = ending(extractor)
    if "frechet" in chosen:
        result[extractor.distance] = frechet_distance(moments(samples.features), data.moments)
    if "kid" in chosen:
        mean, deviation = kernel_distance(samples.features, data.features, seed=seed)
        result |= {f"kid{of}": mean, f"kid_std{of}": deviation}
    if "precision_recall" in chosen:
        found = precision_recall(data.features, samples.features, mesh=mesh)
        result |= {f"precision{of}": found.precision, f"recall{of}": found.recall}
    if "inception_score" in chosen and samples.logits is not None:
        mean, deviation = inception_score(samples.logits)
        result |= {f"inception_score{of}": mean, f"inception_score_std{of}": deviation}
    if "classes" in chosen and samples.logits is not None:
        report = class_report(samples.logits)
        result |= {
            f"confidence{of}": report.confidence,
            f"class_balance{of}": report.balance,
        }
    return {name: float(value) for name, value in result.items()}


def ending(extractor: Extractor) -> str:
    """What names of metrics end in: nothing for Inception, another network's name."""
    return "" if extractor.distance == "fid" else "_" + extractor.name.replace("-", "_")


def describe(extractor: Extractor, repeat_grey: bool) -> dict[str, Any]:
    """What a feature network adds to the protocol."""
    return {
        "name": extractor.name,
        "weights_hash": extractor.weights_hash,
        "resize": extractor.resize,
        "grey": "repeated three times" if repeat_grey and extractor.channels == 3 else "as it is",
    }
