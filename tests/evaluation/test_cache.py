"""The cache of reference statistics: damaged and poisoned files are not used."""

import numpy as np
import pytest

from ddgan_jax.evaluation import protocol
from ddgan_jax.metrics.moments import Moments, moments


@pytest.fixture
def written(tmp_path):
    features = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    result = protocol.Reference(moments(features), features, "hash")
    path = tmp_path / "a.npz"
    protocol._write(path, result)
    return path, result


def test_round_trip(written):
    path, result = written
    found, features = protocol._read(path, 50)
    np.testing.assert_array_equal(features, result.features)
    np.testing.assert_array_equal(found.covariance, result.moments.covariance)
    assert protocol._read(path, 51) is None  # of another number of images


def with_digest(**changes):
    """A change that also writes the digest that fits it."""

    def change(arrays):
        arrays |= {name: act(arrays[name]) for name, act in changes.items()}
        found = Moments(int(arrays["count"]), arrays["mean"], arrays["covariance"])
        arrays["digest"] = np.frombuffer(protocol._digest(found, arrays["features"]), np.uint8)

    return change


CHANGES = {
    "another mean": lambda arrays: arrays.update(mean=arrays["mean"] + 1),
    "no digest": lambda arrays: arrays.pop("digest"),
    "negative variances": with_digest(covariance=lambda x: -x),
    "no covariance": with_digest(covariance=lambda x: x + 10 * (1 - np.eye(4))),
    "NaN": with_digest(mean=lambda x: x * np.nan),
    "another shape": with_digest(features=lambda x: x[:, :3]),
    "another dtype": with_digest(mean=lambda x: x.astype(np.float32)),
    "fewer features": with_digest(features=lambda x: x[:9]),
    "objects": lambda arrays: arrays.update(mean=np.array([None] * 4)),
}


@pytest.mark.parametrize("what", CHANGES)
def test_damaged_statistics_are_computed_again(written, what):
    path, _ = written
    with np.load(path) as file:
        arrays = dict(file)
    CHANGES[what](arrays)
    np.savez(path, **arrays)
    assert protocol._read(path, 50) is None


def test_a_truncated_file(written):
    path, _ = written
    path.write_bytes(path.read_bytes()[:300])
    assert protocol._read(path, 50) is None
