"""What samples are compared with, and how: all that an evaluation needs besides samples.

An `Evaluator` is checked and loaded before any work begins. `evaluate.py` has the commands.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError
from ddgan_jax.data import load_source
from ddgan_jax.data.source import Source
from ddgan_jax.evaluation import protocol
from ddgan_jax.evaluation.modes import KNOWN, Count
from ddgan_jax.features.classes import load_classifier
from ddgan_jax.features.extractor import Extractor
from ddgan_jax.features.inception import load_inception
from ddgan_jax.inference.model import Model
from ddgan_jax.plotting import grids as plots


class Evaluator(NamedTuple):
    """All that an evaluation needs besides samples.

    Attributes:
      settings: `config.eval`.
      source: the data that samples are compared with.
      extractors: feature networks, each with the metrics that are made of its features.
      modes: all samples -> how many modes of the data they cover, where these are known.
      mesh: the devices.
    """

    settings: ConfigDict
    source: Source
    extractors: tuple[tuple[Extractor, tuple[str, ...]], ...]
    modes: Count | None
    mesh: jax.sharding.Mesh


def make_evaluator(config: ConfigDict, mesh: jax.sharding.Mesh) -> Evaluator:
    """Load the data that samples are compared with, and the feature networks.

    Raises:
      UserError: the data or the weights of a network are not there, or do not suit each other.
    """
    wanted = config.eval
    data = ConfigDict({**config.data.to_dict(), "split": wanted.split})
    source = load_source(data)
    modes = KNOWN.get(source.name)
    if len(source.shape) != 3:
        if modes is None:
            raise UserError(
                f"config.data.name is {source.name!r}: evaluation knows images, and of points "
                "'gaussians25' alone"
            )
        return Evaluator(wanted, source, (), modes, mesh)
    check_size("data", source.size, f"config.eval.split={wanted.split!r} of {source.name}")
    extractors = []
    for name in wanted.extractors:
        if name == "auto" and modes:
            continue  # modes are what such data is for
        if name == "auto":
            name = _suited(config, source)
            if name == "inception" and source.shape[-1] == 1:  # no classifier of ours knows it
                wanted = wanted.copy_and_resolve_references()
                wanted.repeat_grey = True
        extractor = (
            load_inception(wanted.inception) if name == "inception" else load_classifier(name)
        )
        # Now, not after minutes of sampling.
        protocol.to_channels(np.zeros((1, *source.shape), np.uint8), extractor, wanted.repeat_grey)
        extractors.append((extractor, _metrics_for(extractor, wanted.metrics)))
    return Evaluator(wanted, source, tuple(extractors), modes, mesh)


def check_size(what: str, size: int, where: str) -> None:
    """Raises UserError: too few images to measure anything."""
    if size < 16:
        raise UserError(f"{where} has {size} images; at least 16 {what} are needed")


def _suited(config: ConfigDict, source: Source) -> str:
    """The feature network that 'auto' stands for."""
    ours = {"digits": "digits", "tfds:mnist": "mnist"}
    return ours.get(config.data.name, "inception") if source.shape[-1] == 1 else "inception"


def _metrics_for(extractor: Extractor, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `wanted` that this network's features and logits can give."""
    is_inception, has_logits = extractor.distance == "fid", extractor.classes > 0
    suits = {
        "frechet": True,
        "kid": True,
        "precision_recall": True,
        "inception_score": is_inception and has_logits,
        "classes": not is_inception and has_logits,
    }
    if "auto" in wanted:
        return tuple(name for name, fits in suits.items() if fits)
    if "inception_score" in wanted and is_inception and not has_logits:
        raise UserError(
            "config.eval.metrics has 'inception_score', and the weights file of Inception has no "
            "classifier (fc.weight); that of pt_inception-2015-12-05-6726825d.pth has"
        )
    return tuple(name for name in suits if name in wanted and suits[name])


def evaluate_samples(
    evaluator: Evaluator, batches: Callable[[], Iterable[np.ndarray]], count: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """The metrics of samples, and the protocol that makes them comparable.

    Args:
      evaluator: see `make_evaluator`.
      batches: makes an iterable of the samples, uint8 [b, H, W, C] or float32 [b, D]; called once
        for every feature network.
      count: number of samples.

    Raises:
      UserError: samples of another shape than the data.
    """
    settings, source = evaluator.settings, evaluator.source
    said: dict[str, Any] = {"samples": count}
    metrics: dict[str, float] = {}
    if evaluator.modes:
        whole = np.concatenate(list(_of_shape(batches(), source.shape)))
        found, how = evaluator.modes(whole)
        metrics |= found
        said |= {"reference": {"name": source.name, "shape": list(source.shape)}, **how}
    for extractor, names in evaluator.extractors:
        data = protocol.reference(
            source,
            extractor,
            evaluator.mesh,
            batch_size=settings.batch_size,
            repeat_grey=settings.repeat_grey,
        )
        samples = protocol.extract(
            extractor,
            _of_shape(batches(), source.shape),
            evaluator.mesh,
            batch_size=settings.batch_size,
            total=count,
            repeat_grey=settings.repeat_grey,
            label=f"{extractor.name} of samples",
        )
        metrics |= protocol.measure(
            samples, data, extractor, names, evaluator.mesh, seed=settings.seed
        )
        said["reference"] = {
            "name": source.name,
            "split": settings.split,
            "images": source.size,
            "shape": list(source.shape),
            "hash": data.images_hash,
        }
    said["extractors"] = [
        protocol.describe(extractor, settings.repeat_grey) for extractor, _ in evaluator.extractors
    ]
    return metrics, said


def _of_shape(batches: Iterable[np.ndarray], shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    for images in batches:
        if images.shape[1:] != shape:
            raise UserError(
                f"samples are {images.shape[1:]} and the data {shape}: they cannot be compared; "
                "config.data.image_size, fit and channels bring the data to the samples' size"
            )
        yield images


def eight_bits(batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Images in [-1, 1] rounded to uint8; points as they are."""
    for batch in batches:
        yield plots.to_uint8(batch) if batch.ndim == 4 else batch


def label_accuracy(
    evaluator: Evaluator, model: Model, key: jax.Array, count: int
) -> dict[str, float]:
    """Share of samples that show the class asked for, each class asked for equally often.

    As read by the classifiers of `evaluator` that know as many classes as the model; nothing of an
    unconditional model.
    """
    found = {}
    for extractor, names in evaluator.extractors:
        if "classes" not in names or extractor.classes != model.classes:
            continue
        asked = np.arange(count) % model.classes
        logits = protocol.extract(
            extractor,
            eight_bits(model.batches(key, count, labels=asked)),
            evaluator.mesh,
            batch_size=evaluator.settings.batch_size,
            total=count,
            repeat_grey=evaluator.settings.repeat_grey,
            label=f"{extractor.name} of each class",
        ).logits
        assert logits is not None  # it knows classes
        found[f"label_accuracy{protocol.ending(extractor)}"] = float(
            np.mean(logits.argmax(axis=1) == asked)
        )
    return found
