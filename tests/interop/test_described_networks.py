"""What the arrays of published networks tell of their architecture."""

import jax
import numpy as np
import pytest
import tiny_runs as runs
from flax import traverse_util
from torch_writer import write_torch

import ddgan_jax
from ddgan_jax.config import flatten
from ddgan_jax.config.overrides import load_config_file, override
from ddgan_jax.core.errors import UserError
from ddgan_jax.inference.published import SOURCES
from ddgan_jax.interop.autoencoder import autoencoder_entries
from ddgan_jax.interop.ddgan import discriminator_entries
from ddgan_jax.interop.ddgan_shapes import describe_discriminator
from ddgan_jax.interop.names import LAYOUTS, to_arrays
from ddgan_jax.methods import build_method


def abstract_arrays(config, role, entries):
    """Arrays of zeros under the published names, without memory."""
    shape = (config.data.image_size, config.data.image_size, config.data.channels or 3)
    tree = jax.eval_shape(build_method(config, shape).init, jax.random.key(0))[role]
    tree = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), tree)
    flat = traverse_util.flatten_dict(tree)
    return {e.name: LAYOUTS[e.layout].theirs(flat[e.path]) for e in entries(tree)}


def test_the_autoencoder_is_that_of_the_file(tmp_path, capfd):
    path = f"{runs.ROOT}/configs/autoencoder_cifar10.py"
    network = {"width": 32, "multipliers": "1,1,2", "blocks": 1, "attention": 4, "codes": 5}
    fields = {f"autoencoder.{k}": v for k, v in network.items()}
    fields |= {"autoencoder.latent_channels": 3, "autoencoder.gaussian": "false"}
    fields |= {"data.image_size": 16, "autoencoder.tanh": "true"}
    config = override(load_config_file(path), {k: str(v) for k, v in fields.items()})
    arrays = abstract_arrays(config, "autoencoder", autoencoder_entries)
    random = np.random.default_rng(0)
    arrays = {k: random.normal(size=v.shape).astype(np.float32) for k, v in arrays.items()}
    write_torch(tmp_path / "model.ckpt", {"state_dict": arrays}, stream=False)
    start = ["convert", "--source=ldm_autoencoder", f"--config={path}"]
    start += [f"--checkpoint={tmp_path / 'model.ckpt'}", f"--workdir={tmp_path / 'run'}"]
    start += ["--config.data.image_size=16"]
    words = (
        "autoencoder.multipliers=1,1,2 (config: 1,2)",
        "autoencoder.tanh=VALUE, which is needed",
    )
    runs.fails(capfd, start, *words)
    runs.ok(*start, "--config.autoencoder.tanh=true")
    model = ddgan_jax.load(tmp_path / "run")
    assert model.config.autoencoder == config.autoencoder
    weights = model.params["autoencoder"]
    ours = to_arrays(weights, autoencoder_entries(weights))
    assert ours.keys() == arrays.keys()
    for name, expected in arrays.items():
        np.testing.assert_array_equal(ours[name], expected, strict=True, err_msg=name)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("ddgan_celebahq256", "ddgan"),
        ("ddgan_cifar10", "ddgan"),
        ("wddgan_celebahq256", "wddgan"),
        ("wddgan_cifar10", "wddgan"),
    ],
)
def test_published_networks_are_described_by_their_arrays(name, source):
    config = load_config_file(f"{runs.ROOT}/configs/{name}.py")
    published, size = SOURCES[source], config.data.image_size // (2 if source == "wddgan" else 1)
    arrays = abstract_arrays(config, "gen", published.entries)
    flat = flatten(config)
    found = published.describe(arrays, size)
    assert found == {field: flat[field] for field in found} and len(found) == 8


@pytest.mark.parametrize(
    "name",
    ["autoencoder_cifar10:released", "autoencoder_cifar10:paper", "autoencoder_celebahq256"],
)
def test_published_autoencoders_are_described_by_their_arrays(name):
    path, _, variant = name.partition(":")
    config = load_config_file(f"{runs.ROOT}/configs/{path}.py" + (variant and f":{variant}"))
    found = SOURCES["ldm_autoencoder"].describe(
        abstract_arrays(config, "autoencoder", autoencoder_entries), config.data.image_size
    )
    flat = flatten(config)
    assert found == {field: flat[field] for field in found} and len(found) == 7


@pytest.mark.parametrize("name", ["ddgan_cifar10", "lddgan_cifar10", "ddgan_celebahq256"])
def test_published_discriminators_are_described_by_their_arrays(name):
    config = load_config_file(f"{runs.ROOT}/configs/{name}.py")
    flat = flatten(config)
    config.space = {"kind": "pixels"}  # an autoencoder says nothing of the discriminator
    found = describe_discriminator(abstract_arrays(config, "disc", discriminator_entries))
    assert found == {field: flat[field] for field in found} and len(found) == 4


def test_an_array_of_another_network_is_not_described():
    assert describe_discriminator({"start_conv.weight": np.zeros((2, 2, 1, 1))}) == {}
    with pytest.raises(UserError, match="no arrays of an autoencoder"):
        SOURCES["ldm_autoencoder"].describe({"encoder.conv_in.weight": np.zeros((2, 2))}, 8)
    with pytest.raises(UserError, match="no arrays of a DDGAN generator"):
        SOURCES["ddgan"].describe({"all_modules.0.weight": np.zeros((2, 2))}, 8)
