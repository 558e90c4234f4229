"""Mode coverage of a mixture of known Gaussians.

For samples of a config with data.name=gaussians25: `python -m ddgan_jax.metrics.modes SAMPLES.npz`.
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ddgan_jax.data import npz
from ddgan_jax.data.gaussians import CENTRES, SIGMA
from ddgan_jax.errors import UserError


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


def main(argv: list[str] | None = None) -> int:
    """The command: one line."""
    parser = argparse.ArgumentParser("python -m ddgan_jax.metrics.modes", description=__doc__)
    parser.add_argument("samples", type=Path, help="samples.npz of --mode=sample")
    path = parser.parse_args(argv).samples
    try:
        source = npz(str(path))
        if source.shape != (2,):
            raise UserError(f"{path} holds {source.shape}; points (2,) are needed")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    points = source.take(np.arange(source.size))["image"]
    found = mode_coverage(points, CENTRES, SIGMA)
    print(
        f"{len(points)} samples: {found.covered} of {len(CENTRES)} modes, "
        f"{100 * found.share:.1f} % within 3 sigma of a centre, balance {found.balance:.2f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
