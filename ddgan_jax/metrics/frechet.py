"""Fréchet distance of two sets of features; with features of Inception, the FID.

Heusel et al. 2017, "GANs trained by a two time-scale update rule converge to a local Nash
equilibrium".
"""

import numpy as np

from ddgan_jax.core.errors import UserError
from ddgan_jax.metrics.checks import check_finite, check_same_width
from ddgan_jax.metrics.metric import Comparison, Metric
from ddgan_jax.metrics.moments import Moments, moments


def frechet_distance(a: Moments, b: Moments) -> float:
    """Fréchet distance of the Gaussians with the given moments.

    |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a^1/2 C_b C_a^1/2)^1/2) (Dowson and Landau 1982).

    With C = L L^T, the matrix under the root is similar to M^T M for M = L_b^T L_a, so the trace of
    the root is the sum of the singular values of M. The factors L come from symmetric
    eigendecompositions. M is never squared, so no rounding error is magnified by a root, and
    covariances without full rank (fewer samples than features) need no special treatment.

    Args:
      a, b: moments of the two sets.

    Returns:
      The distance; for equal moments 0 up to rounding of the traces, of either sign.

    Raises:
      UserError: different numbers of features, fewer than 2 samples, moments that are not finite.
    """
    check_same_width({"the first set": len(a.mean), "the second set": len(b.mean)})
    for which, found in (("first", a), ("second", b)):
        if found.count < 2:
            raise UserError(f"the {which} set has {found.count} samples; at least 2 are needed")
        check_finite(f"the mean of the {which} set", found.mean[None])
        check_finite(f"the covariance of the {which} set", found.covariance)
    cross = np.linalg.svd(_factor(b.covariance).T @ _factor(a.covariance), compute_uv=False)
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    return float(np.sum((a.mean - b.mean) ** 2) + traces - 2 * np.sum(cross))


def _factor(covariance: np.ndarray) -> np.ndarray:
    """L with L L^T = covariance."""
    values, vectors = np.linalg.eigh(covariance)
    # Eigenvalues below this bound, negative ones included, are rounding errors of zero, but their
    # roots would not be small.
    rounding = len(values) * np.finfo(np.float64).eps * values[-1]
    factor: np.ndarray = vectors * np.sqrt(np.where(values > rounding, values, 0))
    return factor


def _compute(comparison: Comparison) -> dict[str, float]:
    distance = frechet_distance(moments(comparison.features), comparison.real_moments)
    return {comparison.network.distance: distance}


FRECHET = Metric(_compute, better={"fid": "lower", "frechet": "lower"})
