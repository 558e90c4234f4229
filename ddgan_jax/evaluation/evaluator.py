"""Reference data and feature networks for evaluation, and the metrics of samples against them.

An `Evaluator` is checked and loaded before any sampling or training begins.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from ddgan_jax.config.fields import check
from ddgan_jax.core.errors import UserError, in_words_of
from ddgan_jax.core.images import to_uint8
from ddgan_jax.data import load_source
from ddgan_jax.data.source import Source
from ddgan_jax.evaluation import protocol
from ddgan_jax.evaluation.modes import Count, mode_counter
from ddgan_jax.features import default_extractor, load_extractor
from ddgan_jax.features.extractor import Extractor
from ddgan_jax.inference.model import Model
from ddgan_jax.metrics import Metric, choose_metrics, find_metrics

LEAST = 16  # images that an evaluation needs


class Evaluator(NamedTuple):
    """Everything that an evaluation needs besides samples.

    Attributes:
      settings: `config.eval`.
      source: the real images (or points) that samples are compared with.
      extractors: feature networks, each with the metrics to compute from its features.
      modes: counts the modes of the data that samples cover; None if the modes are not known.
      mesh: devices to compute on.
    """

    settings: ConfigDict
    source: Source
    extractors: tuple[tuple[Extractor, tuple[Metric, ...]], ...]
    modes: Count | None
    mesh: jax.sharding.Mesh


def make_evaluator(config: ConfigDict, mesh: jax.sharding.Mesh) -> Evaluator:
    """Load the reference data and the feature networks of a config.

    Args:
      config: its `data` and `eval` are used.
      mesh: devices to compute on.

    Raises:
      UserError: unknown metrics or feature networks, missing data or weights, or a feature network
        that does not take the images.
    """
    settings = config.eval
    for field in ("metrics", "extractors"):
        check(config, f"eval.{field}", bool(settings[field]), "at least one name")
    find_metrics(settings.metrics)  # reports unknown names
    data = ConfigDict({**config.data.to_dict(), "split": settings.split})
    with in_words_of({"config.data.split": "config.eval.split"}):
        source = load_source(data)
    modes = mode_counter(source)
    if len(source.shape) != 3:
        if modes is None:
            raise UserError(
                f"config.data.name is {source.name!r}; images, or points with known modes such as "
                "'gaussians25', are needed for an evaluation"
            )
        for field in ("metrics", "extractors"):
            allowed = "'auto' for points, of which modes are counted"
            check(config, f"eval.{field}", tuple(settings[field]) == ("auto",), allowed)
        return Evaluator(settings, source, (), modes, mesh)
    check_size("images", source.size, f"config.eval.split={settings.split!r} of {source.name}")
    extractors, channels = [], source.shape[-1]
    for name in settings.extractors:
        if name == "auto":
            if modes:
                continue  # mode coverage replaces features
            extractor = load_extractor(default_extractor(source.extractor, channels), settings)
            if extractor.channels != channels:  # gray images and Inception
                settings = settings.copy_and_resolve_references()
                settings.repeat_grey = True
        else:
            extractor = load_extractor(name, settings)
        # Fails now rather than after minutes of sampling.
        one = np.zeros((1, *source.shape), np.uint8)
        protocol.to_channels(one, extractor, settings.repeat_grey)
        extractors.append((extractor, choose_metrics(settings.metrics, extractor)))
    names = [extractor.name for extractor, _ in extractors]
    allowed = f"networks of different names (these are {', '.join(names)})"
    check(config, "eval.extractors", len(set(names)) == len(names), allowed)
    computed = [metric for _, chosen in extractors for metric in chosen]
    for name, metric in find_metrics([n for n in settings.metrics if n != "auto"]).items():
        if names and metric not in computed:
            raise UserError(
                f"config.eval.metrics has {name!r}, which is not defined for the features of "
                f"{' or '.join(names)}"
            )
    return Evaluator(settings, source, tuple(extractors), modes, mesh)


def check_size(what: str, size: int, where: str) -> None:
    """Check that there are enough images for an evaluation.

    Args:
      what: "images" or "samples", for the message.
      size: their number.
      where: where they come from, for the message.

    Raises:
      UserError: fewer than 16.
    """
    if size < LEAST:
        raise UserError(f"{where} has {size} images; at least {LEAST} {what} are needed")


def evaluate_samples(
    evaluator: Evaluator, batches: Callable[[], Iterable[np.ndarray]], count: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """Metrics of samples.

    Args:
      evaluator: result of `make_evaluator`.
      batches: returns an iterable of the samples, uint8 [b, H, W, C] or float32 [b, D]; called once
        per feature network.
      count: number of samples.

    Returns:
      (metrics, protocol): the numbers by name, and the details that make them comparable.

    Raises:
      UserError: samples of another shape than the reference data.
    """
    settings, source = evaluator.settings, evaluator.source
    details: dict[str, Any] = {"samples": count}
    metrics: dict[str, float] = {}
    if evaluator.modes:
        whole = np.concatenate(list(_of_shape(batches(), source.shape)))
        found, how = evaluator.modes(whole)
        metrics |= found
        details |= {"reference": {"name": source.name, "shape": list(source.shape)}, **how}
    for extractor, chosen in evaluator.extractors:
        data = protocol.reference(
            source,
            extractor,
            evaluator.mesh,
            batch_size=settings.batch_size,
            repeat_grey=settings.repeat_grey,
        )
        samples = _extract(evaluator, extractor, batches(), count, "samples")
        metrics |= protocol.measure(
            samples, data, extractor, chosen, evaluator.mesh, seed=settings.seed
        )
        details["reference"] = {
            "name": source.name,
            "split": settings.split,
            "images": source.size,
            "shape": list(source.shape),
            "hash": data.images_hash,
        }
    details["extractors"] = [
        protocol.describe(extractor, settings.repeat_grey) for extractor, _ in evaluator.extractors
    ]
    return metrics, details


def _extract(
    evaluator: Evaluator,
    extractor: Extractor,
    batches: Iterable[np.ndarray],
    count: int,
    what: str,
) -> protocol.Features:
    """Features of samples whose shape is checked; `what` is shown with the progress."""
    return protocol.extract(
        extractor,
        _of_shape(batches, evaluator.source.shape),
        evaluator.mesh,
        batch_size=evaluator.settings.batch_size,
        total=count,
        repeat_grey=evaluator.settings.repeat_grey,
        label=f"{extractor.name} of {what}",
    )


def _of_shape(batches: Iterable[np.ndarray], shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """Yield the batches unchanged; raise a UserError if samples have another shape."""
    for images in batches:
        if images.shape[1:] != shape:
            raise UserError(
                f"samples have shape {images.shape[1:]} and the data {shape}; equal shapes are "
                "needed: config.data.image_size, fit and channels bring the data to the samples' "
                "shape"
            )
        yield images


def eight_bits(batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield images in [-1, 1] rounded to uint8, and points unchanged."""
    for batch in batches:
        yield to_uint8(batch) if batch.ndim == 4 else batch


def conditional_numbers(
    evaluator: Evaluator, model: Model, key: jax.Array, count: int
) -> dict[str, float]:
    """Numbers of class-conditional samples, with every class requested equally often.

    They are computed from the logits of the evaluator's networks that have as many classes as the
    model, by the metrics that have a `conditional` part.

    Args:
      evaluator: result of `make_evaluator`.
      model: the model to sample from.
      key: typed PRNG key of the samples.
      count: number of samples per feature network.

    Returns:
      The numbers by name; empty for an unconditional model.
    """
    found: dict[str, float] = {}
    if not model.classes:
        return found
    for extractor, chosen in evaluator.extractors:
        conditional = [metric.conditional for metric in chosen if metric.conditional]
        if not conditional or extractor.classes != model.classes:
            continue
        labels = np.arange(count) % model.classes
        samples = eight_bits(model.batches(key, count, labels=labels))
        logits = _extract(evaluator, extractor, samples, count, "each class").logits
        assert logits is not None  # it has classes
        for compute in conditional:
            found |= compute(logits, labels, extractor)
    return found
