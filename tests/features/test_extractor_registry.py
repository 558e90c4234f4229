"""The registry of feature networks: names, files, networks from outside, and defaults of data."""

import sys
from types import ModuleType

import pytest

from ddgan_jax.config import base
from ddgan_jax.core.errors import UserError
from ddgan_jax.data import digits
from ddgan_jax.data.gaussians import gaussians25
from ddgan_jax.features import EXTRACTORS, ExtractorEntry, default_extractor, load_extractor
from ddgan_jax.features.classifier import WEIGHTS, load_classifier


@pytest.fixture
def settings(monkeypatch, tmp_path):
    monkeypatch.setenv("DDGAN_INCEPTION", str(tmp_path / "inception.npz"))
    return base().eval


def test_names_and_files(settings):
    for name in ("mnist", "digits"):
        found = load_extractor(name, settings)
        assert found.name == f"{name}-classifier" and found.channels == EXTRACTORS[name].channels
        assert found.suffix == f"_{name}_classifier" and not found.is_inception
    by_path = load_extractor(str(WEIGHTS / "digits.npz"), settings)
    assert by_path.weights_hash == load_classifier("digits").weights_hash
    with pytest.raises(UserError, match=r"inception\.npz \(\$DDGAN_INCEPTION\): there is no such"):
        load_extractor("inception", settings)
    settings.inception = "elsewhere.npz"
    with pytest.raises(UserError, match=r"^elsewhere\.npz: there is no such file"):
        load_extractor("inception", settings)
    with pytest.raises(UserError, match="classifier 'resnet' does not exist; digits, mnist or"):
        load_extractor("resnet", settings)


def test_a_network_from_outside(settings, monkeypatch):
    network = load_classifier("digits")._replace(name="theirs", distance="frechet_theirs")
    module = ModuleType("their_networks")
    module.good = ExtractorEntry(lambda settings: network, channels=3)
    monkeypatch.setitem(sys.modules, "their_networks", module)
    assert load_extractor("their_networks:good", settings) is network
    assert default_extractor("their_networks:good", 3) == "their_networks:good"
    with pytest.raises(UserError, match="'bad' of their_networks is NoneType, a ExtractorEntry"):
        load_extractor("their_networks:bad", settings)
    with pytest.raises(UserError, match="--plugins=FOLDER"):
        load_extractor("not_imported:good", settings)


def test_defaults_of_data():
    assert digits("test").extractor == "digits" and digits("test").modes == ""
    assert gaussians25("test").modes == "gaussians25"
    assert default_extractor("digits", 1) == "digits" and default_extractor("mnist", 1) == "mnist"
    assert default_extractor("digits", 3) == "inception"  # gray digits stored as color
    assert default_extractor("inception", 1) == "inception"
    assert default_extractor("inception", 3) == "inception"
