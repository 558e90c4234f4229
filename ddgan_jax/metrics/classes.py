"""Metrics of a classifier's predictions: confidence, balance of the classes, label accuracy."""

from typing import NamedTuple

import numpy as np

from ddgan_jax.core.types import Array
from ddgan_jax.metrics.metric import Comparison, FeatureNetwork, Metric


class ClassReport(NamedTuple):
    """Predictions of a classifier for a set of images.

    Attributes:
      confidence: mean probability of the most likely class.
      sure: share of images whose most likely class has a probability above 0.9.
      classes: share of images of each class, float64 [K].
      balance: exp(entropy of `classes`) / K; 1 if all classes are equally frequent.
    """

    confidence: float
    sure: float
    classes: np.ndarray
    balance: float


def class_report(logits: np.ndarray | Array) -> ClassReport:
    """Confidence and class frequencies of a classifier's predictions.

    Args:
      logits: float [N, K], N >= 1.
    """
    logits = np.asarray(logits, np.float64)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    likeliest = p.max(axis=1)
    classes = np.bincount(p.argmax(axis=1), minlength=p.shape[1]) / len(p)
    entropy = -sum(c * np.log(c) for c in classes if c)
    return ClassReport(
        confidence=float(likeliest.mean()),
        sure=float((likeliest > 0.9).mean()),
        classes=classes,
        balance=float(np.exp(entropy) / len(classes)),
    )


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Share of samples whose most likely class is their label.

    Args:
      logits: float [N, K].
      labels: integers [N].
    """
    return float(np.mean(logits.argmax(axis=1) == labels))


def _compute(comparison: Comparison) -> dict[str, float]:
    assert comparison.logits is not None  # needs_logits
    report, suffix = class_report(comparison.logits), comparison.network.suffix
    return {f"confidence{suffix}": report.confidence, f"class_balance{suffix}": report.balance}


def _conditional(
    logits: np.ndarray, labels: np.ndarray, network: FeatureNetwork
) -> dict[str, float]:
    return {f"label_accuracy{network.suffix}": accuracy(logits, labels)}


CLASSES = Metric(
    _compute,
    accepts=lambda network: not network.is_inception,
    needs_logits=True,
    without_logits="the weights of the feature network do not include the classifier layer",
    conditional=_conditional,
    better={"class_balance": "higher", "label_accuracy": "higher"},
)
