"""Reference statistics in files: written, read, compared with, and refused."""

import json

import numpy as np
import pytest
import tiny_runs as runs

from ddgan_jax.core.errors import UserError
from ddgan_jax.evaluation.statistics import read_statistics
from ddgan_jax.features.classifier import load_classifier

NETWORK = "--config.eval.extractors=digits"
ELSEWHERE = ["evaluate", runs.DIGITS, "--samples=digits", NETWORK]
FEW = ("--config.eval.num_samples=40", "--config.eval.trials=2")
DISTANCE = "frechet_digits_classifier"


@pytest.fixture(scope="module")
def digits():
    return load_classifier("digits")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("statistics") / "digits.npz"
    runs.ok("statistics", runs.DIGITS, NETWORK, f"--out={path}")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.trained(tmp_path_factory.mktemp("of_statistics") / "run")


def report(folder):
    return json.loads((folder / "evaluation.json").read_text())


def test_the_distance_is_that_to_the_data(run, file, tmp_path, capfd):
    evaluate = ["evaluate", f"--workdir={run}", NETWORK, *FEW]
    runs.ok(*evaluate, f"--out={tmp_path / 'data'}")
    runs.ok(*evaluate, f"--out={tmp_path / 'file'}", f"--reference={file}")
    assert "against the statistics in digits.npz (" in capfd.readouterr().out
    expected, found = report(tmp_path / "data"), report(tmp_path / "file")
    assert set(found["metrics"]) == {DISTANCE}
    np.testing.assert_allclose(found["metrics"][DISTANCE], expected["metrics"][DISTANCE], 1e-6)
    assert found["protocol"]["reference"].keys() == {"name", "statistics"}
    assert found["speed"]["nfe"] == 2


def test_images_from_elsewhere(file, tmp_path):
    runs.ok(*ELSEWHERE, f"--reference={file}", f"--out={tmp_path}")
    assert abs(report(tmp_path)["metrics"][DISTANCE]) < 1e-3


def test_files_of_other_projects_have_mu_and_sigma_alone(file, tmp_path, digits):
    with np.load(file) as found:
        arrays = dict(found)
    assert int(arrays["count"]) == 1500
    assert arrays["mu"].dtype == arrays["sigma"].dtype == np.float64
    other = tmp_path / "other.npz"
    np.savez(other, mu=arrays["mu"].astype(np.float32), sigma=arrays["sigma"])
    read = read_statistics(other, digits)
    np.testing.assert_allclose(read.mean, arrays["mu"], 1e-6)
    np.testing.assert_array_equal(read.covariance, read.covariance.T)


MU, SIGMA = np.zeros(3), np.eye(3)
BAD = {
    "no sigma": (dict(mu=MU), "no array 'sigma'"),
    "integers": (dict(mu=MU.astype(int), sigma=SIGMA), "floats [F] and [F, F] are needed"),
    "other sizes": (dict(mu=MU, sigma=np.eye(4)), "floats [F] and [F, F] are needed"),
    "a scalar": (dict(mu=np.float64(1), sigma=SIGMA), "floats [F] and [F, F] are needed"),
    "not finite": (dict(mu=MU, sigma=SIGMA * np.nan), "no covariance"),
    "not symmetric": (dict(mu=MU, sigma=np.triu(np.ones((3, 3)))), "no covariance"),
    "negative": (dict(mu=MU, sigma=-SIGMA), "no covariance"),
    "an eigenvalue below 0": (dict(mu=MU, sigma=2 * np.ones((3, 3)) - np.eye(3)), "eigenvalue -1"),
    "overflowing": (dict(mu=MU + 1e200, sigma=SIGMA), "no covariance"),
    "empty": (dict(mu=np.zeros(0), sigma=np.zeros((0, 0))), "floats [F] and [F, F]"),
    "no count": (dict(mu=MU, sigma=SIGMA, count=np.float64(9)), "count is 9.0"),
    "count of one": (dict(mu=MU, sigma=SIGMA, count=np.int64(1)), "count is 1"),
    "other network": (dict(mu=MU, sigma=SIGMA, network=np.array("vgg")), "is of network 'vgg'"),
    "objects": (dict(mu=np.array([None]), sigma=SIGMA), "Python objects"),
}


@pytest.mark.parametrize("name", BAD)
def test_damaged_files_are_refused(name, tmp_path, digits):
    arrays, expected = BAD[name]
    path = tmp_path / "x.npz"
    np.savez(path, **arrays)
    with pytest.raises(UserError) as error:
        read_statistics(path, digits)
    assert expected in str(error.value) and str(path) in str(error.value)


def test_what_is_no_npz_file_is_refused(tmp_path, digits):
    path = tmp_path / "x.npz"
    for content, expected in ((None, "does not exist"), (b"", "damaged"), (b"PK", "damaged")):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UserError, match=expected):
            read_statistics(path, digits)
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match=r"not a regular file|directory"):
        read_statistics(path, digits)


@pytest.mark.parametrize(
    "args, expected",
    [
        (["statistics", runs.DIGITS], "needs --out=FILE"),
        (["statistics", "--out=x.npz"], "needs --config=FILE"),
        (["statistics", runs.DIGITS, "--out=x.txt"], "ends in .npz"),
        (
            ["statistics", f"--config={runs.ROOT}/configs/ddgan_toy2d.py", "--out=x.npz"],
            "gives 0 feature networks",
        ),
        ([*ELSEWHERE, "--out=x", "--reference=none.npz"], "does not exist"),
    ],
)
def test_commands_that_cannot_be(capfd, tmp_path, monkeypatch, args, expected):
    monkeypatch.chdir(tmp_path)
    runs.fails(capfd, args, expected)


def test_an_existing_file_is_kept(capfd, tmp_path):
    path = tmp_path / "data.npz"
    path.write_bytes(b"mine")
    runs.fails(capfd, ["statistics", runs.DIGITS, NETWORK, f"--out={path}"], "exists")
    assert path.read_bytes() == b"mine"


def test_other_metrics_than_the_distance_are_refused(file, run, tmp_path, capfd):
    args = ["evaluate", f"--workdir={run}", NETWORK, *FEW, f"--out={tmp_path / 'out'}"]
    runs.fails(capfd, [*args, f"--reference={file}", "--config.eval.metrics=kid"], "'frechet' with")


def test_width_of_another_network(file, tmp_path, run, capfd):
    path = tmp_path / "narrow.npz"
    np.savez(path, mu=MU, sigma=SIGMA)
    args = ["evaluate", f"--workdir={run}", NETWORK, *FEW, f"--out={tmp_path / 'out'}"]
    runs.fails(capfd, [*args, f"--reference={path}"], "features", "3")
