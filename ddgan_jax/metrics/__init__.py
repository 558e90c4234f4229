"""Metrics: numbers computed from features, images, points or labels, and the registry `METRICS`.

Each metric that `config.eval.metrics` can name has a file with its function and, at the end, its
entry for the registry. `reconstruction` and `moments` have measures that commands call
directly; `classifier`, `cost` and `digits` start commands under their names of 0.1.0.
"""

from collections.abc import Sequence

from ddgan_jax.config.plugins import lookup
from ddgan_jax.core.errors import UserError
from ddgan_jax.metrics.classes import CLASSES
from ddgan_jax.metrics.frechet import FRECHET
from ddgan_jax.metrics.inception_score import INCEPTION_SCORE
from ddgan_jax.metrics.kernel import KID
from ddgan_jax.metrics.metric import Comparison, FeatureNetwork, Metric
from ddgan_jax.metrics.precision_recall import PRECISION_RECALL

__all__ = ["METRICS", "Comparison", "FeatureNetwork", "Metric", "choose_metrics", "find_metrics"]

METRICS: dict[str, Metric] = {
    "frechet": FRECHET,
    "kid": KID,
    "precision_recall": PRECISION_RECALL,
    "inception_score": INCEPTION_SCORE,
    "classes": CLASSES,
}


def find_metrics(names: Sequence[str]) -> dict[str, Metric]:
    """The metrics that `config.eval.metrics` names.

    Args:
      names: names in `METRICS`, "module:attribute" of a `Metric` outside of the package, or "auto"
        for all of `METRICS`.

    Returns:
      The metrics by name, in the order of `METRICS`, then those from outside in the order given.

    Raises:
      UserError: an unknown name.
    """
    named = {n: lookup("eval.metrics", n, METRICS, Metric) for n in names if n != "auto"}
    return {n: metric for n, metric in METRICS.items() if "auto" in names or n in named} | named


def choose_metrics(names: Sequence[str], network: FeatureNetwork) -> tuple[Metric, ...]:
    """The metrics of `find_metrics` that a feature network can compute.

    Args:
      names: `config.eval.metrics`.
      network: the feature network. Metrics that are not defined for its features are left out.

    Raises:
      UserError: an unknown name, or, unless `names` has "auto", a metric that needs logits which
        the weights of the network lack.
    """
    chosen = []
    for name, metric in find_metrics(names).items():
        if not metric.accepts(network):
            continue
        if not metric.needs_logits or network.classes:
            chosen.append(metric)
        elif "auto" not in names:
            reason = metric.without_logits or f"{network.name} has no logits"
            raise UserError(f"config.eval.metrics has {name!r}, and {reason}")
    return tuple(chosen)
