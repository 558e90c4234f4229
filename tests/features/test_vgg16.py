"""VGG16's second dense layer: a reference in NumPy, resizing, and its files of weights."""

from pathlib import Path

import jax
import numpy as np
import pytest
from torch_writer import write_torch

from ddgan_jax.cli import main
from ddgan_jax.config import base
from ddgan_jax.core.errors import UserError
from ddgan_jax.evaluation.protocol import Features, Reference, measure
from ddgan_jax.features import EXTRACTORS, load_extractor
from ddgan_jax.features.extractor import Extracted, Extractor
from ddgan_jax.features.vgg16 import extract, normalized
from ddgan_jax.interop import vgg16 as convert
from ddgan_jax.interop.weight_files import content_hash
from ddgan_jax.metrics import METRICS
from ddgan_jax.metrics.moments import moments
from ddgan_jax.networks.vgg import VGG16Dense
from ddgan_jax.parallel.mesh import make_mesh

STAGES = ((2, 2), (3, 2), (4, 3), (3, 3), (4, 3))
DENSE = 12


@pytest.fixture(scope="module")
def arrays():
    """Random weights of a narrow VGG16, as torchvision names them."""
    rng = np.random.default_rng(0)

    def draw(shape):
        scale = np.sqrt(4 / np.prod(shape[1:])) if len(shape) > 1 else 0.02
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    return {name: draw(shape) for name, shape in convert.shapes(STAGES, DENSE).items()}


@pytest.fixture
def narrow(arrays, monkeypatch):
    """The converter takes the narrow network for torchvision's."""
    convolutions, shapes = convert.convolution_shapes(STAGES), convert.shapes(STAGES, DENSE)
    monkeypatch.setattr(convert, "convolution_shapes", lambda: convolutions)
    monkeypatch.setattr(convert, "shapes", lambda: shapes)
    digest = content_hash({name: arrays[name] for name in convolutions})
    monkeypatch.setattr(convert, "CONVOLUTIONS_HASH", digest)


def reference(arrays: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """The second dense layer after its ReLU, of x [B, 3, 224, 224], in float64."""
    names = iter(sorted({k.rsplit(".", 1)[0] for k in arrays if k.startswith("f")}, key=_number))
    for _, convolutions in STAGES:
        for _ in range(convolutions):
            name = next(names)
            padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
            x = np.einsum("bihwyx,oiyx->bohw", windows, arrays[f"{name}.weight"], optimize=True)
            x = np.maximum(x + arrays[f"{name}.bias"][:, None, None], 0)
        batch, channels, height, width = x.shape
        x = x.reshape(batch, channels, height // 2, 2, width // 2, 2).max(axis=(3, 5))
    x = x.reshape(len(x), -1)
    for i in (0, 3):
        weight, bias = arrays[f"classifier.{i}.weight"], arrays[f"classifier.{i}.bias"]
        x = np.maximum(x @ weight.T.astype(np.float64) + bias, 0)
    return x


def _number(name: str) -> int:
    return int(name.split(".")[1])


def test_features_are_those_of_a_reference(arrays):
    images = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), np.uint8)
    images[1] //= 8  # a dark one
    x = normalized(images)
    assert x.shape == (2, 224, 224, 3)
    params = convert.vgg16_params(arrays)
    module = VGG16Dense(STAGES, DENSE)
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)["params"]
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, shapes)
    ours = module.apply({"params": params}, x)
    expected = reference(arrays, np.asarray(x, np.float64).transpose(0, 3, 1, 2))
    assert (expected > 0).any(axis=0).sum() > 2 and np.ptp(expected, axis=0).max() > 0.05
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_the_full_network_has_the_published_shapes():
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), np.float32)
    shapes = jax.eval_shape(VGG16Dense().init, jax.random.key(0), images)["params"]
    assert sum(x.size for x in jax.tree.leaves(shapes)) == 138_357_544 - 4_097_000  # no classes
    published = convert.shapes()
    assert sum(int(np.prod(shape)) for shape in published.values()) == 134_260_544
    assert published["classifier.0.weight"] == (4096, 25088)


def test_resizing_and_normalization():
    """Output pixel i is at i n / 224, and the last input pixel is repeated."""
    ramp = np.zeros((1, 32, 32, 3), np.uint8)
    ramp[0] = 8 * np.arange(32, dtype=np.uint8)[None, :, None]
    x = np.asarray(normalized(ramp), np.float64) * [0.229, 0.224, 0.225] + [0.485, 0.456, 0.406]
    expected = np.minimum(np.arange(224) / 7, 31) * 8 / 255
    np.testing.assert_allclose(x, np.broadcast_to(expected[:, None], x.shape), atol=1e-6)
    same = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)
    x = np.asarray(normalized(same)) * [0.229, 0.224, 0.225] + [0.485, 0.456, 0.406]
    np.testing.assert_allclose(x * 255, same, atol=1e-4)


@pytest.mark.parametrize("form", ["npz", "zip", "stream", "scripted names"])
def test_files_are_converted(arrays, narrow, tmp_path, capsys, form):
    source, out = tmp_path / "source", tmp_path / "vgg16.npz"
    classes = {"classifier.6.weight": np.zeros((7, DENSE), np.float32)}
    if form == "npz":
        source = source.with_suffix(".npz")
        np.savez(source, **arrays, **classes)
    elif form == "scripted names":
        indices = {0: "fc1", 3: "fc2", 6: "fc3"}
        numbers = sorted({_number(name) for name in arrays if name.startswith("features")})
        indices = {("classifier", i): name for i, name in indices.items()}
        indices |= {("features", n): f"conv{i}" for i, n in enumerate(numbers, 1)}
        named = {}
        for name, array in (arrays | classes).items():
            part, number, kind = name.split(".")
            named[f"layers.{indices[part, int(number)]}.{kind}"] = array
        extra = {"mean": np.zeros(3, np.float32)}  # a buffer that is not part of the layers
        write_torch(source, named | extra, stream=False)
    else:
        write_torch(source, arrays | classes, stream=form == "stream")
    assert main(["vgg16", f"--source={source}", f"--out={out}"]) == 0
    assert f"{len(arrays)} arrays" in capsys.readouterr().out
    with np.load(out) as written:
        assert set(written) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(written[name], array, strict=True)
    settings = base().eval
    settings.vgg16 = str(out)
    extractor = load_extractor("vgg16", settings)
    assert extractor.name == "vgg16" and extractor.weights_hash == content_hash(arrays)


def test_other_weights_are_refused(arrays, narrow, tmp_path):
    """Another VGG16 takes images that are normalized in another way."""
    other = dict(arrays)
    other["features.0.weight"] = arrays["features.0.weight"][:, ::-1]  # BGR
    np.savez(tmp_path / "other.npz", **other)
    with pytest.raises(UserError, match=r"other\.npz: a VGG16 with other weights than torch"):
        convert.read_vgg16(tmp_path / "other.npz")
    del other["classifier.3.bias"]
    np.savez(tmp_path / "less.npz", **other)
    with pytest.raises(UserError, match=r"1 of its 30 arrays are missing, 'class"):
        convert.read_vgg16(tmp_path / "less.npz")


def test_torchvisions_convolutions_are_known(reference_weights):
    """Those in the file of LPIPS are torchvision's."""
    indices = sorted({_number(name) for name in convert.convolution_shapes()})
    arrays = {}
    for i, index in enumerate(indices):
        kernel = reference_weights[f"VGG16_0/Conv_{i}/kernel"]
        arrays[f"features.{index}.weight"] = kernel.transpose(3, 2, 0, 1)
        arrays[f"features.{index}.bias"] = reference_weights[f"VGG16_0/Conv_{i}/bias"]
    assert content_hash(arrays) == convert.CONVOLUTIONS_HASH


@pytest.fixture
def reference_weights(reference):
    with np.load(Path(reference("weights/lpips_vgg16.npz"))) as file:
        return dict(file)


def test_missing_file_and_wrong_images(monkeypatch, tmp_path):
    monkeypatch.setenv("DDGAN_VGG16", str(tmp_path / "vgg16.npz"))
    with pytest.raises(UserError, match=r"vgg16\.npz \(\$DDGAN_VGG16\).*no such.*vgg16-397923af"):
        load_extractor("vgg16", base().eval)
    with pytest.raises(UserError, match=r"images for VGG16 are uint8 \(2, 8, 8, 1\)"):
        extract({}, np.zeros((2, 8, 8, 1), np.uint8))
    assert EXTRACTORS["vgg16"].channels == 3


def test_numbers_say_that_their_features_are_vgg16s():
    """No number of VGG16 features has the name of one of Inception features."""
    features = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
    extractor = Extractor(
        "vgg16", "frechet_vgg16", "0" * 16, "", 3, 0, {}, lambda p, x: Extracted(x, None)
    )
    data = Reference(moments(features), features, "")
    metrics = [METRICS[name] for name in ("frechet", "kid", "precision_recall")]
    numbers = measure(Features(features[:20], None), data, extractor, metrics, make_mesh())
    names = {"frechet_vgg16", "kid_vgg16", "kid_std_vgg16", "precision_vgg16", "recall_vgg16"}
    assert set(numbers) == names
