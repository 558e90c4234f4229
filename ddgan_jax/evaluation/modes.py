"""Mode coverage of samples of the 25 Gaussians and of stacked MNIST."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.data import npz
from ddgan_jax.data.gaussians import CENTERS, SIGMA
from ddgan_jax.data.source import Source
from ddgan_jax.features.classifier import classify, load_classifier
from ddgan_jax.features.extractor import Extractor
from ddgan_jax.metrics.modes import TRIPLES, mode_coverage, stacked_modes

# samples -> (metrics by name, details for the protocol of a report)
Count = Callable[[np.ndarray], tuple[dict[str, float], dict[str, str]]]

BETTER = {  # as `Metric.better`
    **{"modes_covered": "higher", "modes_balance": "higher"},
    **{"modes_kl": "lower", "modes_kl_bias": ""},
}


def stacked_labels(images: np.ndarray, classifier: Extractor, batch_size: int = 500) -> np.ndarray:
    """Classify the digit in each channel of images.

    Args:
      images: uint8 [N, H, W, 3].
      classifier: a classifier of the digits 0..9.
      batch_size: images per compiled call.

    Returns:
      int64 [N, 3], the digits in R, G and B.
    """
    channels = [classify(classifier, images[..., c, None], batch_size) for c in range(3)]
    return np.stack([logits.argmax(axis=1) for logits in channels], axis=1)


def count_gaussians(points: np.ndarray) -> tuple[dict[str, float], dict[str, str]]:
    """Coverage of the 25 Gaussians by points [N, 2]."""
    found = mode_coverage(points, CENTERS, SIGMA)
    numbers = {
        "modes_covered": float(found.covered),
        "modes_share": found.share,
        "modes_balance": found.balance,
    }
    return numbers, {}


def count_stacked(images: np.ndarray) -> tuple[dict[str, float], dict[str, str]]:
    """Coverage of stacked MNIST by images uint8 [N, H, W, 3]; the `mnist` classifier reads them."""
    classifier = load_classifier("mnist")
    found = stacked_modes(stacked_labels(images, classifier))
    numbers = {
        "modes_covered": float(found.covered),
        "modes_kl": found.kl,
        "modes_kl_bias": found.bias,
    }
    return numbers, {"digits_read_by": f"{classifier.name}, {classifier.weights_hash}"}


MODES: dict[str, Count] = {"gaussians25": count_gaussians, "stacked_mnist": count_stacked}


def mode_counter(source: Source) -> Count | None:
    """The function that counts the covered modes of a source; None if its modes are not known.

    Raises:
      UserError: `source.modes` is not in `MODES`.
    """
    if source.modes and source.modes not in MODES:
        raise UserError(
            f"modes of the data {source.name} is {source.modes!r}; one of {', '.join(MODES)} is "
            "needed"
        )
    return MODES.get(source.modes)


def report(path: Path) -> list[str]:
    """Count the modes that the samples in an npz file cover.

    Args:
      path: file that the command `sample` wrote.

    Returns:
      The results as lines of text.

    Raises:
      UserError: no such file, or it holds neither points nor RGB images.
    """
    source = npz(str(path))
    samples = source.take(np.arange(source.size))["image"]
    if source.shape == (2,):
        return [_mixture_line(samples)]
    if len(source.shape) == 3 and source.shape[2] == 3:
        return _stacked_lines(samples)
    raise UserError(
        f"{path} holds {source.shape}; points (2,) or stacked digits (H, W, 3) are needed"
    )


def _mixture_line(points: np.ndarray) -> str:
    found = mode_coverage(points, CENTERS, SIGMA)
    return (
        f"{len(points)} samples: {found.covered} of {len(CENTERS)} modes, "
        f"{100 * found.share:.1f} % within 3 sigma of a center, balance {found.balance:.2f}"
    )


def _stacked_lines(images: np.ndarray) -> list[str]:
    classifier = load_classifier("mnist")
    found = stacked_modes(stacked_labels(images, classifier))
    return [
        f"{len(images)} samples: {found.covered} of {TRIPLES} modes, KL {found.kl:.4f} nats to "
        f"uniform triples (a perfect generator: about {found.bias:.4f})",
        f"digits read by {classifier.name}, weights {classifier.weights_hash}",
    ]
