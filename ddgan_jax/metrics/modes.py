"""Mode coverage of samples of data whose modes are known: mixtures of Gaussians, stacked MNIST."""

from typing import NamedTuple

import numpy as np

from ddgan_jax.core.errors import UserError

TRIPLES = 1000  # modes of stacked MNIST: one digit in each of R, G and B


class ModeCoverage(NamedTuple):
    """Coverage of the modes of a mixture of Gaussians.

    Attributes:
      covered: number of centers with at least one sample within 3 sigma.
      share: share of the samples within 3 sigma of some center; 1 - exp(-9/2) = 0.989 for samples
        of a two-dimensional mixture itself.
      balance: number of centers times the smallest share of one center among those samples: 1 if
        all are equally frequent, 0 if one is missing.
    """

    covered: int
    share: float
    balance: float


def mode_coverage(points: np.ndarray, centers: np.ndarray, sigma: float) -> ModeCoverage:
    """Coverage of a mixture of isotropic Gaussians by points.

    Args:
      points: floats [N, D].
      centers: means of the Gaussians, floats [M, D].
      sigma: standard deviation of each Gaussian along each axis.
    """
    distance = np.linalg.norm(points[:, None] - centers[None], axis=-1)
    nearest = distance.argmin(axis=1)[distance.min(axis=1) <= 3 * sigma]
    counts = np.bincount(nearest, minlength=len(centers))
    return ModeCoverage(
        covered=int((counts > 0).sum()),
        share=len(nearest) / len(points),
        balance=float(counts.min() / max(counts.sum(), 1) * len(centers)),
    )


class StackedModes(NamedTuple):
    """Coverage of the modes of stacked MNIST.

    Attributes:
      covered: number of triples of digits, of 1,000, that at least one image shows.
      kl: KL(triples of the images || triples of the data) in nats.
      bias: expected `kl` of a perfect generator with the same number of images.
    """

    covered: int
    kl: float
    bias: float


def stacked_modes(labels: np.ndarray, data_histogram: np.ndarray | None = None) -> StackedModes:
    """Coverage of the 1,000 modes of stacked MNIST by images whose digits were read.

    kl = sum_k p_k log(p_k / q_k) with the natural logarithm, where p is the histogram of `labels`
    and q that of the data. A perfect generator has sampling noise in p: 2 N kl is about chi-squared
    with K - 1 degrees of freedom, so its expected kl is bias = (K - 1) / (2 N), the correction of
    Miller and Madow (1955): 0.019 for the N = 26,000 images that papers use.

    Args:
      labels: integers 0..9 [N, 3], the digits in R, G and B.
      data_histogram: counts or shares [1000] of the triples in the data, with index
        100 R + 10 G + B; uniform if None. K is the number of triples above zero.

    Returns:
      The coverage; `kl` is infinite if the images show a triple that the data does not have.

    Raises:
      UserError: labels or a histogram of a wrong shape or out of range.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.shape[1] != 3 or not len(labels) or labels.dtype.kind not in "iu":
        raise UserError(
            f"labels are {labels.dtype} {labels.shape}; integers (N, 3) with N > 0 are needed"
        )
    if labels.min() < 0 or labels.max() > 9:
        raise UserError(f"labels are in {labels.min()}..{labels.max()}; digits 0..9 are needed")
    q = np.ones(TRIPLES) if data_histogram is None else np.asarray(data_histogram, np.float64)
    if q.shape != (TRIPLES,) or not (np.isfinite(q).all() and q.min() >= 0 and q.sum() > 0):
        raise UserError(
            f"data_histogram has shape {q.shape}; ({TRIPLES},) finite numbers >= 0, not all 0, are "
            "needed"
        )
    counts = np.bincount(labels.astype(np.int64) @ [100, 10, 1], minlength=TRIPLES)
    shown = counts > 0
    p, q = counts / len(labels), q / q.sum()
    with np.errstate(divide="ignore"):  # q is 0 for a triple that the data does not have
        kl = np.sum(p[shown] * np.log(p[shown] / q[shown]))
    return StackedModes(
        covered=int(shown.sum()), kl=float(kl), bias=float((np.sum(q > 0) - 1) / (2 * len(labels)))
    )


if __name__ == "__main__":  # earlier name of `python -m ddgan_jax modes`
    from ddgan_jax.cli import run_and_exit

    run_and_exit("modes")
