"""Mode coverage of a mixture of known Gaussians."""

from typing import NamedTuple

import numpy as np


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
