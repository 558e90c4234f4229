"""Reference statistics in a file: mean and covariance of features, as FID projects publish them.

The file is an npz with `mu` [F] and `sigma` [F, F], as pytorch-fid and EDM read and write them.
Files that are written here also have the number of images, and the name and the hash of the weights
of the feature network, which are checked when they are read.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.config import check
from ddgan_jax.core.errors import UserError
from ddgan_jax.evaluation import protocol
from ddgan_jax.evaluation.evaluator import make_evaluator
from ddgan_jax.features import EXTRACTORS, load_extractor
from ddgan_jax.features.extractor import Extractor
from ddgan_jax.interop.weight_files import content_hash
from ddgan_jax.io.read_npz import read_npz
from ddgan_jax.io.run_folder import atomically
from ddgan_jax.io.storage import open_regular
from ddgan_jax.metrics.frechet import frechet_distance
from ddgan_jax.metrics.moments import Moments, moments

_LARGEST = 1e30  # of features; squares of larger ones overflow in sums
NAMES = ("mu", "sigma", "count", "network", "weights")


def write_statistics(
    config: ConfigDict, out: Path, mesh: jax.sharding.Mesh, say: Callable[[str], None] = print
) -> None:
    """Write the statistics of the data of a config, by its feature network.

    Args:
      config: its `data` and `eval` are used.
      out: the npz file.
      mesh: devices; all processes must call this.
      say: prints a line.

    Raises:
      UserError: see `make_evaluator`; the config has several feature networks, or none; or the
        file cannot be written.
    """
    evaluator = make_evaluator(config, mesh)
    if len(evaluator.extractors) != 1:
        count = len(evaluator.extractors)
        raise UserError(f"config.eval.extractors gives {count} feature networks; one is needed")
    extractor, source = evaluator.extractors[0][0], evaluator.source
    settings = evaluator.settings
    found = protocol.reference(
        source,
        extractor,
        mesh,
        batch_size=settings.batch_size,
        repeat_grey=settings.repeat_grey,
    ).moments
    if jax.process_index() != 0:
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomically(out) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                mu=found.mean,
                sigma=found.covariance,
                count=np.int64(found.count),
                network=np.array(extractor.name),
                weights=np.array(extractor.weights_hash),
            )
    except OSError as error:
        raise UserError(f"--out={out} cannot be written: {error.strerror or error}") from error
    say(f"{found.count:,} images of {source.name} {settings.split}, {extractor.name}: {out}")


def open_statistics(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file of statistics, of which `mu` and `sigma` are there.

    Raises:
      UserError: the file is missing, damaged, or has no such arrays.
    """
    what = f"--reference={path}"
    try:
        with open_regular(path) as file:
            arrays = read_npz(file, NAMES)
    except FileNotFoundError:
        raise UserError(f"{what} does not exist") from None
    except UserError as error:
        raise UserError(f"{what}: {error}") from error
    except OSError as error:
        raise UserError(f"{what}: {error.strerror or error}") from error
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds for damaged files
        raise UserError(f"{what} is no npz file, or damaged") from error
    missing = [name for name in ("mu", "sigma") if name not in arrays]
    if missing:
        raise UserError(f"{what} has no array {missing[0]!r}; `mu` and `sigma` are needed")
    return arrays


def read_statistics(path: Path, extractor: Extractor) -> Moments:
    """Read statistics of the features of a network.

    Args:
      path: the npz file.
      extractor: the network; files of other projects do not say which network they are of, and are
        taken to be of this one.

    Raises:
      UserError: see `open_statistics`; or not a mean and a covariance, or of another network.
    """
    what, arrays = f"--reference={path}", open_statistics(path)
    for name, own in (("network", extractor.name), ("weights", extractor.weights_hash)):
        if name in arrays and str(arrays[name]) != own:
            raise UserError(f"{what} is of {name} {str(arrays[name])!r}; {own!r} is needed")
    mean, covariance = arrays["mu"], arrays["sigma"]
    real = mean.dtype.kind == covariance.dtype.kind == "f"
    if not real or mean.ndim != 1 or not mean.size or covariance.shape != (len(mean),) * 2:
        raise UserError(
            f"{what}: mu is {mean.dtype} {mean.shape} and sigma {covariance.dtype} "
            f"{covariance.shape}; floats [F] and [F, F] are needed"
        )
    mean, covariance = mean.astype(np.float64), covariance.astype(np.float64)
    finite = np.isfinite(mean).all() and np.isfinite(covariance).all()
    scale = np.abs(covariance).max() if finite else 0.0
    asymmetry = np.abs(covariance - covariance.T).max() if finite else 0.0
    if not finite or asymmetry > 1e-6 * scale or max(scale, np.abs(mean).max()) > _LARGEST:
        needed = f"finite, symmetric numbers up to {_LARGEST:g} are needed"
        raise UserError(f"{what}: sigma is no covariance: {needed}")
    covariance = (covariance + covariance.T) / 2
    smallest = np.linalg.eigvalsh(covariance)[0]
    if smallest < -1e-6 * max(scale, np.trace(covariance)):
        raise UserError(
            f"{what}: sigma is no covariance: it has the eigenvalue {smallest:.3g}; numbers of at "
            "least 0 are needed"
        )
    count = arrays.get("count", np.int64(2))
    if count.shape != () or count.dtype.kind not in "iu" or count < 2:
        raise UserError(f"{what}: count is {count!s:.40}; a number of images is needed")
    return Moments(int(count), mean, covariance)


def one_extractor(config: ConfigDict, arrays: Mapping[str, np.ndarray]) -> Extractor:
    """The feature network for statistics in a file: that of `config.eval.extractors`.

    Args:
      config: "auto" stands for the network that the file names, or else for Inception.
      arrays: result of `open_statistics`.

    Raises:
      UserError: several names, or see `load_extractor`.
    """
    allowed = "'auto' or 'frechet' with --reference=FILE"
    distance = tuple(config.eval.metrics) in (("auto",), ("frechet",))
    check(config, "eval.metrics", distance, allowed)
    names = tuple(config.eval.extractors)
    if len(names) != 1:
        raise UserError(f"config.eval.extractors is {names}; --reference=FILE needs one name")
    if names != ("auto",):
        return load_extractor(names[0], config.eval)
    own = str(arrays.get("network", "")).removesuffix("-classifier")
    return load_extractor(own if own in EXTRACTORS else "inception", config.eval)


def against_statistics(
    config: ConfigDict,
    name: str,
    real: Moments,
    extractor: Extractor,
    batches: Iterable[np.ndarray],
    count: int,
    mesh: jax.sharding.Mesh,
) -> tuple[dict[str, float], dict[str, Any]]:
    """The Fréchet distance of samples to the statistics in a file.

    Args:
      config: `config.eval` is used.
      name: name of the file, for the protocol.
      real: result of `read_statistics`.
      extractor: the feature network.
      batches: the samples, uint8 [b, H, W, C].
      count: number of samples.
      mesh: devices to compute on.

    Returns:
      (metrics, protocol), see `evaluator.evaluate_samples`.

    Raises:
      UserError: see `protocol.to_channels` and `frechet_distance`.
    """
    found = protocol.extract(
        extractor,
        batches,
        mesh,
        batch_size=config.eval.batch_size,
        total=count,
        repeat_grey=True,
        label=f"{extractor.name} of samples",
    )
    distance = frechet_distance(moments(found.features), real)
    details = {
        "samples": count,
        "reference": {
            "name": name,
            "statistics": content_hash({"mu": real.mean, "sigma": real.covariance}),
        },
        "extractors": [protocol.describe(extractor, repeat_grey=True)],
    }
    return {extractor.distance: distance}, details
