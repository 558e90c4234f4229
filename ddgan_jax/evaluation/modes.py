"""Mode coverage of samples: of a mixture of known Gaussians, of stacked MNIST."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.data import npz
from ddgan_jax.data.gaussians import CENTRES, SIGMA
from ddgan_jax.features.classes import classify, load_classifier
from ddgan_jax.features.extractor import Extractor

TRIPLES = 1000  # modes of stacked MNIST: one digit in each of R, G and B


class ModeCoverage(NamedTuple):
    """Attributes:
    covered: centres that at least one sample lies within 3 sigma of.
    share: of all samples that lie within 3 sigma of some centre; 1 - exp(-9/2) = 0.989 for
      samples of the mixture itself.
    balance: smallest share of a centre among those samples, times the number of centres: 1 when
      all are equally frequent, 0 when one is missing.
    """

    covered: int
    share: float
    balance: float


def mode_coverage(points: np.ndarray, centres: np.ndarray, sigma: float) -> ModeCoverage:
    """How points [N, D] spread over isotropic Gaussians at `centres` [M, D]."""
    distance = np.linalg.norm(points[:, None] - centres[None], axis=-1)
    nearest = distance.argmin(axis=1)[distance.min(axis=1) <= 3 * sigma]
    counts = np.bincount(nearest, minlength=len(centres))
    return ModeCoverage(
        covered=int((counts > 0).sum()),
        share=len(nearest) / len(points),
        balance=float(counts.min() / max(counts.sum(), 1) * len(centres)),
    )


class StackedModes(NamedTuple):
    """Attributes:
    covered: triples of digits that at least one image shows, of 1,000.
    kl: KL(triples of the images || triples of the data) in nats.
    bias: what `kl` is expected to be for a perfect generator with as many images.
    """

    covered: int
    kl: float
    bias: float


def stacked_modes(labels: np.ndarray, data_histogram: np.ndarray | None = None) -> StackedModes:
    """How triples of digits spread over the 1,000 modes of stacked MNIST.

    kl = sum_k p_k log(p_k / q_k), p the histogram of `labels` and q that of the data, natural
    logarithm. p has sampling noise even if the generator is perfect: 2 N kl is then about
    chi-squared with K - 1 degrees of freedom, so that its mean is bias = (K - 1) / (2 N), the
    correction of Miller and Madow (1955); 0.019 for N = 26,000, the number that papers use.

    Args:
      labels: integers 0..9 [N, 3], the digits in R, G and B.
      data_histogram: counts or shares [1000] of triples in the data, number 100 R + 10 G + B;
        uniform if None. K counts those above zero.

    Returns:
      `kl` is infinite if the images show a triple that the data does not have.

    Raises:
      UserError: labels or a histogram of another shape or out of range.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.shape[1] != 3 or not len(labels) or labels.dtype.kind not in "iu":
        raise UserError(
            f"labels are {labels.dtype} {labels.shape}; allowed: integers (N, 3), N > 0"
        )
    if labels.min() < 0 or labels.max() > 9:
        raise UserError(f"labels are in {labels.min()}..{labels.max()}; allowed: digits 0..9")
    q = np.ones(TRIPLES) if data_histogram is None else np.asarray(data_histogram, np.float64)
    if q.shape != (TRIPLES,) or not (np.isfinite(q).all() and q.min() >= 0 and q.sum() > 0):
        raise UserError(
            f"data_histogram has shape {q.shape}; allowed: ({TRIPLES},), finite, 0 or more, "
            "not all 0"
        )
    counts = np.bincount(labels.astype(np.int64) @ [100, 10, 1], minlength=TRIPLES)
    shown = counts > 0
    p, q = counts / len(labels), q / q.sum()
    with np.errstate(divide="ignore"):  # a triple that the data does not have: infinite
        kl = np.sum(p[shown] * np.log(p[shown] / q[shown]))
    return StackedModes(
        covered=int(shown.sum()), kl=float(kl), bias=float((np.sum(q > 0) - 1) / (2 * len(labels)))
    )


def stacked_labels(images: np.ndarray, classifier: Extractor, batch_size: int = 500) -> np.ndarray:
    """The digit that a classifier sees in each channel: uint8 [N, H, W, 3] -> int64 [N, 3]."""
    channels = [classify(classifier, images[..., c, None], batch_size) for c in range(3)]
    return np.stack([logits.argmax(axis=1) for logits in channels], axis=1)


def _of_gaussians(points: np.ndarray) -> tuple[dict[str, float], dict[str, str]]:
    found = mode_coverage(points, CENTRES, SIGMA)
    metrics = {
        "modes_covered": float(found.covered),
        "modes_share": found.share,
        "modes_balance": found.balance,
    }
    return metrics, {}


def _of_stacked(images: np.ndarray) -> tuple[dict[str, float], dict[str, str]]:
    classifier = load_classifier("mnist")
    found = stacked_modes(stacked_labels(images, classifier))
    metrics = {
        "modes_covered": float(found.covered),
        "modes_kl": found.kl,
        "modes_kl_bias": found.bias,
    }
    return metrics, {"digits_read_by": f"{classifier.name}, {classifier.weights_hash}"}


# All samples -> (metrics, what to say of how they were counted), for data whose modes are known.
Count = Callable[[np.ndarray], tuple[dict[str, float], dict[str, str]]]
KNOWN: dict[str, Count] = {"gaussians25": _of_gaussians, "stacked_mnist": _of_stacked}


def report(path: Path) -> list[str]:
    """Lines for people about the npz file `path` that `sample` wrote.

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
    found = mode_coverage(points, CENTRES, SIGMA)
    return (
        f"{len(points)} samples: {found.covered} of {len(CENTRES)} modes, "
        f"{100 * found.share:.1f} % within 3 sigma of a centre, balance {found.balance:.2f}"
    )


def _stacked_lines(images: np.ndarray) -> list[str]:
    classifier = load_classifier("mnist")
    found = stacked_modes(stacked_labels(images, classifier))
    return [
        f"{len(images)} samples: {found.covered} of {TRIPLES} modes, KL {found.kl:.4f} nats to "
        f"uniform triples (a perfect generator: about {found.bias:.4f})",
        f"digits read by {classifier.name}, weights {classifier.weights_hash}",
    ]
