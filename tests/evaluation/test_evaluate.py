"""`--mode=evaluate` and evaluation during training, from end to end."""

import json
import re
import runpy
import shutil
import sys
from types import ModuleType

import jax
import numpy as np
import pytest
import tiny_runs as runs

import ddgan_jax
from ddgan_jax.config.stored import read_config
from ddgan_jax.core.errors import UserError
from ddgan_jax.core.images import to_uint8
from ddgan_jax.data import array_source, digits
from ddgan_jax.data.traversal import images_of
from ddgan_jax.evaluation import evaluator as evaluators
from ddgan_jax.evaluation import protocol
from ddgan_jax.evaluation.evaluator import eight_bits, evaluate_samples, make_evaluator
from ddgan_jax.evaluation.modes import MODES, stacked_labels
from ddgan_jax.features import EXTRACTORS, ExtractorEntry
from ddgan_jax.features.classifier import load_classifier
from ddgan_jax.features.extractor import Extracted
from ddgan_jax.metrics import METRICS, Metric
from ddgan_jax.metrics.frechet import frechet_distance
from ddgan_jax.metrics.moments import moments
from ddgan_jax.parallel import mesh as meshes

FEW = ("--config.eval.num_samples=40", "--config.eval.trials=2")
DISTANCE = "frechet_digits_classifier"
OF_DIGITS = (DISTANCE, *(f"{n}_digits_classifier" for n in ("kid", "precision", "recall")))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return runs.trained(tmp_path_factory.mktemp("evaluate") / "run")


@pytest.fixture(scope="module")
def report(run):
    runs.ok("--mode=evaluate", f"--workdir={run}", *FEW)
    return json.loads((run / "evaluation.json").read_text())


def features(images):
    network = load_classifier("digits")
    return np.asarray(jax.jit(network.apply)(network.params, images).features)


@pytest.mark.slow
def test_the_report_holds_metrics_speed_and_protocol(report):
    assert set(OF_DIGITS) <= report["metrics"].keys()
    assert all(np.isfinite(value) for value in report["metrics"].values())
    assert not any(
        name.startswith("fid") for name in report["metrics"]
    )  # that is Inception's alone
    assert report["speed"]["nfe"] == 2 and report["speed"]["seconds"] > 0
    said = report["protocol"]
    assert (said["samples"], said["seed"], said["step"], said["images_seen"]) == (40, 0, 8, 128)
    assert said["weights"] == "moving average, decay 0.999, with warm-up"
    assert said["reference"]["images"] == 1500 and len(said["reference"]["hash"]) == 16
    (network,) = said["extractors"]
    assert network["weights_hash"] == load_classifier("digits").weights_hash


def test_the_numbers_are_those_of_the_python_api(run, report):
    images = to_uint8(ddgan_jax.load(run).sample(jax.random.key(0), 40))
    data = digits("train").take(np.arange(1500))["image"]
    expected = frechet_distance(moments(features(images)), moments(features(data)))
    np.testing.assert_allclose(report["metrics"][DISTANCE], expected, rtol=1e-4)


def test_the_table_says_it_all(run, report, capfd, tmp_path):
    runs.ok("--mode=evaluate", f"--workdir={run}", f"--out={tmp_path}", *FEW)
    out = capfd.readouterr().out
    for name, value in report["metrics"].items():
        assert re.search(rf"{name} +{re.escape(f'{value:.5g}')}\n", out), name
    assert "40 samples; step 8" in out and report["protocol"]["reference"]["hash"] in out
    assert json.loads((tmp_path / "evaluation.json").read_text())["metrics"] == report["metrics"]


def test_raw_weights_are_others(run, report, tmp_path):
    raw = "--config.eval.weights=raw"
    runs.ok("--mode=evaluate", f"--workdir={run}", f"--out={tmp_path}", *FEW, raw)
    other = json.loads((tmp_path / "evaluation.json").read_text())
    assert other["protocol"]["weights"] == "raw"
    assert other["metrics"][DISTANCE] != report["metrics"][DISTANCE]


def test_imported_weights_are_called_so(run, tmp_path):
    """A moving average of this run's decay would be a claim that nobody made."""
    folder = shutil.copytree(run, tmp_path / "run")
    info = json.loads((folder / "info.json").read_text())
    facts = {"source": "ddgan", "file": "content.pth", "holds": "weights that ..."}
    (folder / "info.json").write_text(json.dumps({**info, "converted": facts}))
    runs.ok("--mode=evaluate", f"--workdir={folder}", *FEW)
    said = json.loads((folder / "evaluation.json").read_text())["protocol"]
    assert said["weights"] == "imported from content.pth (ddgan): weights that ..."
    assert "images_seen" not in said


@pytest.mark.slow
def test_data_against_itself(run, report, tmp_path):
    command = ("--mode=evaluate", f"--workdir={run}", f"--out={tmp_path}", "--samples=digits")
    runs.ok(*command, "--samples_split=train")
    same = json.loads((tmp_path / "evaluation.json").read_text())
    assert abs(same["metrics"][DISTANCE]) < 1e-6
    assert same["metrics"]["precision_digits_classifier"] == 1
    assert same["metrics"]["recall_digits_classifier"] == 1
    assert "speed" not in same and same["protocol"]["run"] == "digits, train"
    runs.ok(*command, "--samples_split=test")
    held_out = json.loads((tmp_path / "evaluation.json").read_text())
    # Real digits are nearer than those of a generator of eight steps.
    assert 1e-3 < held_out["metrics"][DISTANCE] < 0.5 * report["metrics"][DISTANCE]
    assert held_out["protocol"]["reference"] == same["protocol"]["reference"]


def test_the_same_on_one_and_eight_devices(run):
    config = read_config(run)
    images = digits("test").take(np.arange(37))["image"]
    found = []
    for devices in (jax.devices()[:1], jax.devices()):
        evaluator = make_evaluator(config, meshes.make_mesh(devices))
        found.append(evaluate_samples(evaluator, lambda: [images[:5], images[5:]], 37)[0])
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        np.testing.assert_allclose(value, found[1][name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_statistics_of_data_are_computed_once(monkeypatch, tmp_path):
    monkeypatch.setenv("DDGAN_CACHE", str(tmp_path))
    network, mesh = load_classifier("digits"), meshes.make_mesh()
    calls, extract = [], protocol.extract

    def counted(*args, **kwargs):
        calls.append(args)
        return extract(*args, **kwargs)

    monkeypatch.setattr(protocol, "extract", counted)
    first = protocol.reference(digits("test"), network, mesh, batch_size=64)
    assert len(calls) == 1
    again = protocol.reference(digits("test"), network, mesh, batch_size=32)
    assert len(calls) == 1  # whatever the batch
    np.testing.assert_array_equal(first.moments.covariance, again.moments.covariance)
    protocol.reference(digits("test[:50%]"), network, mesh, batch_size=64)
    assert len(calls) == 2  # other data
    protocol.reference(digits("test"), network._replace(weights_hash="x"), mesh, batch_size=64)
    assert len(calls) == 3  # other weights
    for file in tmp_path.rglob("*.npz"):
        file.write_bytes(file.read_bytes()[:1000])
    mended = protocol.reference(digits("test"), network, mesh, batch_size=64)
    assert len(calls) == 4  # cut short: anew
    np.testing.assert_array_equal(first.moments.covariance, mended.moments.covariance)


def test_features_do_not_depend_on_how_images_are_batched():
    network, mesh = load_classifier("digits"), meshes.make_mesh()
    images = digits("test").take(np.arange(53))["image"]
    whole = protocol.extract(network, [images], mesh, batch_size=64, total=53)
    parts = [images[:1], images[1:30], images[30:30], images[30:]]
    split = protocol.extract(network, parts, mesh, batch_size=16, total=53)
    assert whole.features.shape == (53, 128) and whole.logits.shape == (53, 10)
    np.testing.assert_allclose(whole.features, split.features, rtol=1e-4, atol=1e-5)


def test_gray_images_for_a_network_of_color():
    network = load_classifier("digits")._replace(name="inception", channels=3)
    gray, color = np.zeros((2, 8, 8, 1), np.uint8), np.zeros((2, 8, 8, 3), np.uint8)
    with pytest.raises(UserError, match=r"repeat_grey=true"):
        protocol.to_channels(gray, network, repeat_grey=False)
    assert protocol.to_channels(gray, network, repeat_grey=True).shape == (2, 8, 8, 3)
    with pytest.raises(UserError, match="gray images"):
        protocol.to_channels(color, network._replace(channels=1), repeat_grey=True)


def test_another_gray_set_is_seen_by_inception(monkeypatch):
    """Changing the data to Fashion-MNIST selects Inception without another setting."""
    network = load_classifier("digits")._replace(name="inception", channels=3)
    fashion = digits("test")._replace(name="fashion_mnist", extractor="inception")
    entry = ExtractorEntry(lambda settings: network, channels=3)
    monkeypatch.setitem(EXTRACTORS, "inception", entry)
    monkeypatch.setattr(evaluators, "load_source", lambda data: fashion)
    for name in ("gan", "gan_highdim", "diffusion_gan", "difgan", "ddgan", "ddpm"):
        config = runpy.run_path(str(runs.ROOT / f"configs/{name}_mnist.py"))["get_config"]()
        config.data.name = "tfds:fashion_mnist"
        evaluator = make_evaluator(config, meshes.make_mesh())
        assert evaluator.extractors[0][0] is network and evaluator.settings.repeat_grey
        assert not config.eval.repeat_grey


def test_names_of_inception_stay_its_own():
    # Features of a stand-in: what is under test is how numbers are called.
    def apply(params, images):
        del params
        flat = images.reshape(images.shape[0], -1).astype(np.float32) / 255
        return Extracted(flat, flat[:, :10])

    network = load_classifier("digits")._replace(apply=apply, name="inception", distance="fid")
    mesh, source = meshes.make_mesh(), digits("test")
    data = protocol.reference(source, network, mesh, batch_size=64)
    images = images_of(digits("train[:50]"))
    samples = protocol.extract(network, images, mesh, batch_size=64, total=50)
    found = protocol.measure(samples, data, network, METRICS.values(), mesh)
    inception = {"fid", "kid", "kid_std", "precision", "recall"}
    assert found.keys() >= inception | {"inception_score", "inception_score_std"}


@pytest.mark.slow
def test_evaluation_during_training(run, tmp_path):
    evaluated = ("--config.eval.every=3 steps", "--config.eval.training_samples=24")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    saved = "--config.train.checkpoint_every=4 steps"
    runs.ok(*runs.TINY, f"--workdir={whole}", *evaluated, saved)
    lines = [json.loads(line) for line in (whole / "evaluation.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 6, 8]
    assert [line["images"] for line in lines] == [48, 96, 128]
    assert all(set(OF_DIGITS) <= line.keys() and line["seconds"] >= 0 for line in lines)
    assert (whole / "evaluation.png").stat().st_size > 5000
    # Evaluating changes nothing in the run, and the same numbers come out of its checkpoint.
    runs.assert_same_state(whole, run, 8)
    few = ("--config.eval.num_samples=24", "--config.eval.trials=2")
    runs.ok("--mode=evaluate", f"--workdir={whole}", f"--out={tmp_path}", *few)
    after = json.loads((tmp_path / "evaluation.json").read_text())["metrics"]
    np.testing.assert_allclose(lines[-1][DISTANCE], after[DISTANCE], rtol=1e-4)

    shutil.copytree(whole, parts)
    runs.rewind(parts, 4)
    runs.ok(*runs.TINY, f"--workdir={parts}", *evaluated, saved)
    resumed = [json.loads(line) for line in (parts / "evaluation.jsonl").read_text().splitlines()]
    for one, other in zip(lines, resumed, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_points_have_modes(tmp_path):
    out = tmp_path / "out"
    command = (runs.DIGITS.replace("digits", "toy2d"), "--mode=evaluate", f"--out={out}")
    runs.ok(*command, "--samples=gaussians25", "--samples_split=test")
    found = json.loads((out / "evaluation.json").read_text())["metrics"]
    assert found["modes_covered"] == 25 and abs(found["modes_share"] - 0.989) < 0.002


def test_stacked_digits_have_modes():
    # Eight-pixel digits in the place of MNIST's: which network reads them is not the matter here.
    some = digits("train").take(np.arange(3))["image"]
    images = np.zeros((30, 32, 32, 3), np.uint8)
    images[:, 8:24, 8:24] = np.concatenate([some] * 10).repeat(2, 1).repeat(2, 2)
    found, how = MODES["stacked_mnist"](images)
    assert how["digits_read_by"].startswith("mnist-classifier, ")
    labels = stacked_labels(images, load_classifier("mnist"))
    assert found["modes_covered"] == len(np.unique(labels, axis=0)) <= 3
    assert found["modes_kl"] >= np.log(1000 / 3) - 1e-6
    assert found["modes_kl_bias"] == 999 / 60


MISTAKES = {
    "unknown metric": (["metrics=fidd"], ["eval.metrics", "'fidd'", "frechet"]),
    "near metric": (["metrics=freche"], ["eval.metrics", "'frechet'?"]),
    "too few samples": (["num_samples=10"], ["eval.num_samples", "10", ">= 16"]),
    "unknown weights": (["weights=mean"], ["eval.weights", "'mean'", "'ema' or 'raw'"]),
    "how often": (["every=often"], ["eval.every", "'often'", "20 epochs"]),
    "unknown field": (["sampels=3"], ["config.eval.sampels", "no field"]),
    "unknown split": (["split=valid"], ["eval.split", "'valid'", "train"]),
    "too few images": (["split=train[:9]"], ["eval.split", "train[:9]", "9 images", "16"]),
    "no weights of Inception": (["extractors=inception"], ["inception", "DDGAN_INCEPTION"]),
    "unknown network": (["extractors=resnet"], ["resnet"]),
    "networks of one name": (["extractors=digits,digits"], ["eval.extractors", "different names"]),
    "metric of other features": (
        ["metrics=inception_score", "extractors=digits"],
        ["'inception_score'", "not defined for the features of"],
    ),
}


@pytest.mark.parametrize(("changes", "words"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_are_one_line(run, changes, words, capfd, monkeypatch, tmp_path):
    monkeypatch.setenv("DDGAN_INCEPTION", str(tmp_path / "inception.npz"))
    flags = [f"--config.eval.{change}" for change in changes]
    runs.fails(capfd, ["--mode=evaluate", f"--workdir={run}", *flags], *words)


def test_samples_that_cannot_be_compared(run, tmp_path, capfd):
    def stored(shape):
        np.savez(tmp_path / "samples.npz", images=np.zeros(shape, np.uint8))
        return f"--samples=npz:{tmp_path / 'samples.npz'}"

    command = ["--mode=evaluate", f"--workdir={run}", f"--out={tmp_path}"]
    runs.fails(capfd, [*command, stored((20, 16, 16, 1))], "(16, 16, 1)", "(8, 8, 1)")
    runs.fails(capfd, [*command, stored((20, 8, 8, 3))], "(8, 8, 3)", "(8, 8, 1)")
    runs.fails(capfd, [*command, stored((5, 8, 8, 1))], "--samples", "5 images", "16")
    runs.fails(capfd, [*command, "--samples=npz:none.npz"], "none.npz", "no such file")
    runs.fails(capfd, [*command[:2], "--samples=digits"], "--out=FOLDER")
    runs.fails(capfd, ["--mode=sample", *command[1:], "--samples=digits"], "--samples", "evaluate")


def test_an_exported_run_has_no_raw_weights(run, tmp_path, capfd):
    runs.ok("--mode=export", f"--workdir={run}", f"--out={tmp_path / 'small'}")
    command = ["--mode=evaluate", f"--workdir={tmp_path / 'small'}", *FEW]
    runs.ok(*command)
    runs.fails(capfd, [*command, "--config.eval.weights=raw"], "averaged weights only", "small")


def test_the_example_in_the_docs():
    text = (runs.ROOT / "docs" / "evaluation.md").read_text()
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    example = example.replace("runs/digits", f"{runs.ROOT}/ddgan_jax/pretrained/ddgan_digits")
    scope = {}
    exec(example.replace("1500", "40"), scope)
    assert scope["ours"].shape == (40, 128) and np.isfinite(scope["ours"]).all()


def test_eight_bits():
    images = np.array([-1.2, -1, 0, 0.999, 1, 3], np.float32).reshape(1, 6, 1, 1)
    (rounded,) = eight_bits([images])
    assert rounded.dtype == np.uint8 and rounded.ravel().tolist() == [0, 0, 128, 255, 255, 255]
    points = np.zeros((3, 2), np.float32)
    assert next(iter(eight_bits([points]))) is points


def test_members_from_outside_take_part(run, monkeypatch):
    """A metric and a feature network from the user's own module, named in the config."""
    network = load_classifier("digits")._replace(name="their-network", distance="frechet_theirs")
    module = ModuleType("their_code")
    module.network = ExtractorEntry(lambda settings: network, channels=1)
    module.width = Metric(lambda c: {f"width{c.network.suffix}": c.features.shape[1]})
    monkeypatch.setitem(sys.modules, "their_code", module)
    config = read_config(run)
    config.eval.extractors = ("their_code:network",)
    config.eval.metrics = ("their_code:width", "frechet")
    evaluator = make_evaluator(config, meshes.make_mesh())
    images = digits("test").take(np.arange(30))["image"]
    found, details = evaluate_samples(evaluator, lambda: [images], 30)
    assert list(found) == ["frechet_theirs", "width_their_network"]
    assert found["width_their_network"] == 128.0
    assert details["extractors"][0]["name"] == "their-network"


def test_data_says_which_network_and_which_modes_it_has(run, monkeypatch):
    config, mesh = read_config(run), meshes.make_mesh()

    def evaluator_of(source):
        monkeypatch.setattr(evaluators, "load_source", lambda data: source)
        return make_evaluator(config, mesh)

    gray = digits("test")
    assert evaluator_of(gray).extractors[0][0].name == "digits-classifier"
    assert evaluator_of(gray._replace(extractor="mnist")).extractors[0][0].name.startswith("mnist")
    stacked = array_source("stacked", np.zeros((20, 32, 32, 3), np.uint8))
    found = evaluator_of(stacked._replace(modes="stacked_mnist"))
    assert found.modes is MODES["stacked_mnist"] and found.extractors == ()
    with pytest.raises(UserError, match="modes of the data stacked is 'other'; one of gaussians25"):
        evaluator_of(stacked._replace(modes="other"))
    points = array_source("points", np.zeros((20, 2), np.float32))
    with pytest.raises(UserError, match=r"config\.data\.name is 'points'; images, or points with"):
        evaluator_of(points)


@pytest.mark.parametrize("field", ["metrics", "extractors"])
def test_an_evaluation_has_something_to_measure(run, field):
    config = read_config(run)
    config.eval[field] = ()
    with pytest.raises(UserError, match=rf"config\.eval\.{field} is \(\); at least one name"):
        make_evaluator(config, meshes.make_mesh())
