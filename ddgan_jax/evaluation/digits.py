"""Quality of generated 8x8 digits: confidence, balance of the classes, distance to training digits.

The command prints three results, each beside that of 297 held-out digits:
  realism    confidence of the classifier `digits`, trained on the 1,500 training digits
  diversity  share of each class, and their balance, 1 for ten equally frequent classes
  copies     distance to the nearest training digit (RMS over pixels, 0..255)
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.data import digits, npz
from ddgan_jax.features.classifier import classify, load_classifier
from ddgan_jax.features.extractor import Extractor
from ddgan_jax.metrics.classes import ClassReport, class_report
from ddgan_jax.metrics.nearest import nearest_distance


class DigitQuality(NamedTuple):
    """Quality of a set of 8x8 digits.

    Attributes:
      report: predictions of the classifier.
      nearest: median distance of these images to the nearest training digit.
      coverage: median distance of a held-out digit to the nearest of these images.
    """

    report: ClassReport
    nearest: float
    coverage: float


def digit_quality(classifier: Extractor, images: np.ndarray) -> DigitQuality:
    """Compare images with the training digits and the held-out digits.

    Args:
      classifier: a classifier of digits.
      images: uint8 [N, 8, 8, 1].
    """
    everything = [digits(split) for split in ("train", "test")]
    train, test = (s.take(np.arange(s.size))["image"] for s in everything)
    return DigitQuality(
        report=class_report(classify(classifier, images)),
        nearest=float(np.median(nearest_distance(images, train))),
        coverage=float(np.median(nearest_distance(test, images))),
    )


def read_digits(path: Path) -> np.ndarray:
    """Images uint8 [N, 8, 8, 1] of an npz file that `sample` wrote.

    Raises:
      UserError: no such file, or images of another shape.
    """
    source = npz(str(path))
    if source.shape != (8, 8, 1):
        raise UserError(
            f"{path} holds {source.shape}; images (8, 8, 1) are needed: samples of a config with "
            "data.name=digits"
        )
    return source.take(np.arange(source.size))["image"]


def report(images: np.ndarray) -> list[str]:
    """A table for people: uint8 images [N, 8, 8, 1] next to held-out digits."""
    held_out = digits("test")
    test = held_out.take(np.arange(held_out.size))
    classifier = load_classifier("digits")
    right = classify(classifier, test["image"]).argmax(axis=1) == test["label"]
    rows = {
        f"{len(images)} samples": digit_quality(classifier, images),
        f"{len(right)} held-out digits": digit_quality(classifier, test["image"]),
    }
    lines = [
        f"classifier: {100 * right.mean():.1f} % right on {len(right)} held-out digits",
        f"{'':<22}confidence  surer than 0.9  balance  nearest training digit",
    ]
    for name, quality in rows.items():
        seen = quality.report
        numbers = f"{seen.confidence:10.3f}  {100 * seen.sure:12.1f} %  {seen.balance:7.3f}"
        lines.append(f"{name:<22}{numbers}  {quality.nearest:7.1f}")
        lines.append(f"{'':<22}classes 0..9: {' '.join(f'{100 * c:.0f}' for c in seen.classes)} %")
    coverage = next(iter(rows.values())).coverage
    lines.append(f"median distance of a held-out digit to the nearest sample: {coverage:.1f}")
    return lines
