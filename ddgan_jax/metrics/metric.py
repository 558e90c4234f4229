"""The contract of a metric: the features it compares, and the entry that registers it."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import numpy as np
from jax.sharding import Mesh

from ddgan_jax.metrics.moments import Moments


class FeatureNetwork(Protocol):
    """The properties of a feature network that metrics depend on.

    Attributes:
      name: "inception-2015-12-05", "mnist-classifier".
      is_inception: whether it is Inception-v3 with the standard weights for FID, KID and IS.
      distance: name of the Fréchet distance of its features: "fid" for Inception only.
      suffix: ending of the names of all other numbers: "" for Inception, else "_" and the name of
        the network, so that its numbers cannot be mistaken for Inception's.
      classes: number of logits; 0 if the network has none.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def is_inception(self) -> bool: ...  # noqa: D102
    @property
    def distance(self) -> str: ...  # noqa: D102
    @property
    def suffix(self) -> str: ...  # noqa: D102
    @property
    def classes(self) -> int: ...  # noqa: D102


class Comparison(NamedTuple):
    """Features of samples and of real images by one network: the input of a metric.

    Attributes:
      features: features of the samples, float32 [N, F].
      logits: logits of the samples, float32 [N, K], or None if the network has none.
      real_moments: mean and covariance of the features of all real images.
      real_features: features of real images, float32 [M, F]; of a subset if there are very many.
      network: the feature network.
      mesh: devices to compute on.
      seed: seed of the random subsets.
    """

    features: np.ndarray
    logits: np.ndarray | None
    real_moments: Moments
    real_features: np.ndarray
    network: FeatureNetwork
    mesh: Mesh | None = None
    seed: int = 0


def _any_network(network: FeatureNetwork) -> bool:
    del network
    return True


class Metric(NamedTuple):
    """A registered metric.

    Attributes:
      compute: comparison -> numbers by the name that reports show. Names end in
        `comparison.network.suffix`; the standard deviation of a number "x" is called "x_std".
      accepts: whether the metric is defined for the features of a network. Other networks are
        skipped.
      needs_logits: whether the metric needs the logits of the network.
      without_logits: what to tell a user who asks for the metric with weights that have no logits.
      conditional: (logits [N, K], labels int [N] that were asked for, network) -> further numbers
        of class-conditional samples; None if the metric has none.
      better: first words of the names of its numbers -> "lower" or "higher"; comparisons mark the
        best of several numbers whose names begin so.
    """

    compute: Callable[[Comparison], dict[str, float]]
    accepts: Callable[[FeatureNetwork], bool] = _any_network
    needs_logits: bool = False
    without_logits: str = ""
    conditional: Callable[[np.ndarray, np.ndarray, FeatureNetwork], dict[str, float]] | None = None
    better: Mapping[str, str] = {}
