"""WDDGAN's published orders of wavelet bands: imported generators make the same images."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs as runs
from torch_writer import write_torch

import ddgan_jax
from ddgan_jax.cli import main
from ddgan_jax.diffusion.haar import dwt, idwt
from ddgan_jax.interop.names import to_arrays
from ddgan_jax.interop.torch_file import read_torch
from ddgan_jax.interop.wddgan import BANDS, generator_entries, published_bands, reorder_bands
from ddgan_jax.networks.ncsnpp import NCSNpp
from ddgan_jax.networks.wavelet_ncsnpp import WaveletNCSNpp

SIZES = dict(channels=12, width=8, multipliers=(1, 2), blocks=1, attention=(), z_width=4)
NETWORKS = {"plain": NCSNpp(**SIZES, z_layers=0), "wavelet": WaveletNCSNpp(**SIZES, z_layers=0)}
T, Z = jnp.zeros(2, jnp.int32), jnp.ones((2, 4))


def swapped(bands):
    """The second and third band exchanged: between our order and that of pytorch_wavelets."""
    low, second, third, high = jnp.split(bands, 4, axis=-1)
    return jnp.concatenate([low, third, second, high], axis=-1)


def params_of(network):
    """Random parameters, also where networks begin near zero."""
    tree = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((2, 8, 8, 12)), T, Z)["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32) / 4, tree)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_generator_of_swapped_bands_makes_the_same_images(kind):
    network, theirs = NETWORKS[kind], params_of(NETWORKS[kind])
    generate = jax.jit(network.apply)
    noise = jax.random.normal(jax.random.key(1), (2, 16, 16, 3))  # of pixels

    def image(params, order):
        """The image that a generator makes of noise, with `order` of the transform's bands."""
        bands = generate({"params": params}, order(dwt(noise) * 0.5), T, Z)
        return np.asarray(idwt(order(bands) * 2))

    expected = image(theirs, swapped)
    ours = reorder_bands(theirs, "pytorch_wavelets")
    np.testing.assert_allclose(image(ours, lambda bands: bands), expected, rtol=1e-4, atol=1e-4)
    assert np.abs(image(theirs, lambda bands: bands) - expected).max() > 0.1
    again = reorder_bands(ours, "pytorch_wavelets")
    for back, first in zip(jax.tree.leaves(again), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(back, first)
    assert reorder_bands(theirs, "haar") is theirs


def test_order_of_the_published_checkpoints():
    data = {
        "tfds:cifar10": "pytorch_wavelets",
        "stl10.npz": "pytorch_wavelets",
        "tfds:lsun/church_outdoor": "pytorch_wavelets",
        "tfds:celeb_a_hq/256": "haar",
        "npz:mine": "haar",
    }
    assert {name: published_bands(name) for name in data} == data
    assert set(data.values()) == set(BANDS)


CONFIG = [
    f"--config={runs.ROOT}/configs/wddgan_cifar10.py",
    *(f"--config.gen.{field}" for field in ("width=8", "multipliers=1,2", "blocks=1")),
    *("--config.gen.z_width=4", "--config.gen.z_layers=0", "--config.latent_size=4"),
    *("--config.disc.width=4", "--config.disc.multipliers=2", "--config.disc.downsample=true"),
]


def convert(*args):
    return main(["convert", *map(str, args)])


@pytest.mark.slow
def test_the_command_knows_and_records_the_order(tmp_path, capfd):
    theirs = params_of(NETWORKS["plain"])
    arrays = to_arrays(theirs, generator_entries(theirs))
    write_torch(tmp_path / "netG.pth", arrays, stream=False)
    start = ("--source=wddgan", f"--checkpoint={tmp_path / 'netG.pth'}", *CONFIG)
    for args, order in (((), "pytorch_wavelets"), (("--bands=haar",), "haar")):
        folder = tmp_path / order
        assert convert(*start, f"--workdir={folder}", *args) == 0
        assert f"wavelet bands in the order of {order}\n" in capfd.readouterr().out
        assert json.loads((folder / "info.json").read_text())["converted"]["bands"] == order
        kernel = ddgan_jax.load(folder).params["gen"]["conv_in"]["kernel"]
        expected = reorder_bands(theirs, order)["conv_in"]["kernel"]
        np.testing.assert_array_equal(kernel, expected)
        file = tmp_path / f"{order}.pth"  # exported in the order of the import
        assert convert(f"--workdir={folder}", f"--export={file}") == 0
        for name, array in read_torch(file).items():
            np.testing.assert_array_equal(array, arrays[name], err_msg=name)
    assert convert(*start, f"--workdir={tmp_path / 'run'}", "--bands=har") == 1
    runs.one_line(capfd.readouterr().err, ["--bands is 'har'", "haar or pytorch_wavelets"])
