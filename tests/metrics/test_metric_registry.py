"""The registry of metrics: which network gets which, their names, and metrics from outside."""

import sys
from types import ModuleType

import numpy as np
import pytest

from ddgan_jax.core.errors import UserError
from ddgan_jax.features.extractor import Extractor
from ddgan_jax.metrics import METRICS, Comparison, Metric, choose_metrics
from ddgan_jax.metrics.moments import moments


def network(name="inception-2015-12-05", distance="fid", classes=10):
    return Extractor(name, distance, "", "", 3, classes, (), lambda params, images: None)


INCEPTION = network()
OTHER = network("mnist-classifier", "frechet_mnist_classifier")


def numbers_of(metric, of):
    rng = np.random.default_rng(0)
    features, real, logits = (rng.normal(size=(40, k)).astype(np.float32) for k in (5, 5, 10))
    return metric.compute(Comparison(features, logits, moments(real), real, of))


@pytest.mark.parametrize(
    ("name", "numbers"),
    {
        "frechet": ["fid"],
        "kid": ["kid", "kid_std"],
        "precision_recall": ["precision", "recall"],
        "inception_score": ["inception_score", "inception_score_std"],
        "classes": ["confidence", "class_balance"],
    }.items(),
)
def test_names_of_numbers(name, numbers):
    found = numbers_of(METRICS[name], INCEPTION)
    assert list(found) == numbers and all(np.isfinite(value) for value in found.values())
    other = numbers_of(METRICS[name], OTHER)
    suffixed = [f"{number}_mnist_classifier" for number in numbers]
    assert list(other) == (["frechet_mnist_classifier"] if name == "frechet" else suffixed)


def chosen(names, of):
    return [
        next(n for n, m in METRICS.items() if m is metric) for metric in choose_metrics(names, of)
    ]


def test_auto_is_all_that_a_network_can_compute():
    always = ["frechet", "kid", "precision_recall"]
    assert chosen(["auto"], INCEPTION) == [*always, "inception_score"]
    assert chosen(["auto"], OTHER) == [*always, "classes"]
    assert chosen(["auto"], network(classes=0)) == always
    assert chosen(["auto"], OTHER._replace(classes=0)) == always


def test_named_metrics_come_in_the_order_of_the_registry():
    assert chosen(["kid", "frechet", "kid"], INCEPTION) == ["frechet", "kid"]
    # Of two networks, each computes what is defined for its features.
    both = ["classes", "inception_score"]
    assert chosen(both, INCEPTION) == ["inception_score"] and chosen(both, OTHER) == ["classes"]


def test_weights_without_logits_are_an_error_for_a_metric_that_was_asked_for():
    with pytest.raises(UserError, match=r"'inception_score', and the weights .*fc\.weight"):
        choose_metrics(["inception_score"], network(classes=0))
    with pytest.raises(UserError, match="'classes', and the weights of the feature network"):
        choose_metrics(["classes"], OTHER._replace(classes=0))


def test_unknown_names_get_a_hint():
    with pytest.raises(UserError, match=r"config\.eval\.metrics is 'frechte'; .*mean 'frechet'"):
        choose_metrics(["frechte"], INCEPTION)


def test_label_accuracy_belongs_to_the_classes():
    logits = np.eye(3)[[0, 1, 2, 2]]
    labels = np.array([0, 1, 2, 0])
    found = METRICS["classes"].conditional(logits, labels, OTHER)
    assert found == {"label_accuracy_mnist_classifier": 0.75}
    assert [name for name, metric in METRICS.items() if metric.conditional] == ["classes"]


def test_a_metric_from_outside(monkeypatch):
    module = ModuleType("their_metrics")
    module.spread = Metric(lambda c: {f"spread{c.network.suffix}": float(c.features.std())})
    module.no_metric = 3
    monkeypatch.setitem(sys.modules, "their_metrics", module)
    found = choose_metrics(["their_metrics:spread", "kid"], OTHER)
    assert found == (METRICS["kid"], module.spread)
    assert list(numbers_of(found[1], OTHER)) == ["spread_mnist_classifier"]
    assert choose_metrics(["auto", "their_metrics:spread"], OTHER)[-1] is module.spread
    with pytest.raises(UserError, match="'no_metric' of their_metrics is int, a Metric is needed"):
        choose_metrics(["their_metrics:no_metric"], OTHER)
