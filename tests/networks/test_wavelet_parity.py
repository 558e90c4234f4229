"""Parity with numbers of WDDGAN's published implementation on small random networks."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs as runs
from torch_writer import write_torch

import ddgan_jax
from ddgan_jax.cli import main
from ddgan_jax.interop.ddgan import discriminator_entries
from ddgan_jax.interop.names import to_arrays, to_params
from ddgan_jax.interop.torch_file import read_torch
from ddgan_jax.interop.wddgan import generator_entries
from ddgan_jax.networks.ncsnpp import NCSNpp
from ddgan_jax.networks.resblock import ResBlockDiscriminator
from ddgan_jax.networks.wavelet_ncsnpp import WaveletNCSNpp
from ddgan_jax.spaces.wavelet import wavelet

RTOL = 1e-4
# The config of the published generator, with other sizes.
CONFIG = [
    f"--config={runs.ROOT}/configs/wddgan_celebahq256.py",
    *("--config.gen.width=16", "--config.gen.multipliers=1,2", "--config.gen.blocks=1"),
    *("--config.gen.attention=4", "--config.gen.z_width=16", "--config.gen.z_layers=2"),
    *("--config.disc.width=8", "--config.disc.multipliers=2", "--config.disc.downsample=true"),
    *("--config.data.image_size=16", "--config.latent_size=8"),
]


def relative(ours, theirs) -> float:
    """||ours - theirs|| / ||theirs|| in float64."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


@pytest.fixture
def golden(reference):
    with np.load(reference("reference/wddgan_small.npz")) as file:
        arrays = dict(file)
    meta = json.loads(str(arrays.pop("meta")))
    groups: dict[str, dict[str, np.ndarray]] = {}
    for name, value in arrays.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = value
    io = {name: jnp.asarray(value) for name, value in groups["io"].items()}
    g, d = meta["generator"], meta["discriminator"]
    return SimpleNamespace(
        raw=groups,
        io=SimpleNamespace(**io | {"t": io["t"].astype(jnp.int32)}),
        generator=WaveletNCSNpp(
            channels=g["num_channels"],
            width=g["num_channels_dae"],
            multipliers=tuple(g["ch_mult"]),
            blocks=g["num_res_blocks"],
            attention=tuple(g["attn_resolutions"]),
            z_width=g["z_emb_dim"],
            z_layers=g["n_mlp"],
        ),
        discriminator=ResBlockDiscriminator(
            width=d["ngf"],
            multipliers=(2, 4, 8, 8)[: d["num_layers"]],
            downsample=(False, True, True, True)[: d["num_layers"]],
            t_width=d["t_emb_dim"],
            final_scale=0.0,
        ),
    )


def test_bands(golden):
    space = wavelet(golden.io.image.shape[1:], levels=1)
    assert space.shape == golden.io.x_0.shape[1:]
    assert relative(space.encode(golden.io.image, ()), golden.io.x_0) < 1e-6
    assert relative(space.decode(golden.io.x_0, ()), golden.io.image) < 1e-6


def test_discriminator_of_three_blocks(golden):
    io, module = golden.io, golden.discriminator
    abstract = jax.eval_shape(module.init, jax.random.key(0), io.x_0, io.t, io.x_t)["params"]
    params = to_params(golden.raw["D"], discriminator_entries(abstract), abstract)
    assert relative(jax.jit(module.apply)({"params": params}, io.x_0, io.t, io.x_t), io.d) < RTOL


@pytest.mark.slow
def test_import_and_export_by_the_command(golden, tmp_path, capfd):
    arrays, workdir = golden.raw["G"], tmp_path / "run"
    write_torch(tmp_path / "a.pth", arrays, stream=False)

    def convert(*args):
        return main(["convert", *map(str, args)])

    start = (f"--checkpoint={tmp_path / 'a.pth'}", f"--workdir={workdir}", *CONFIG)
    assert convert("--source=wddgan", *start) == 0
    model = ddgan_jax.load(workdir)
    assert model.shape == (16, 16, 3) and model.config.space.kind == "wavelet"
    params = {"params": model.params["gen"]}
    io = golden.io
    x_0 = jax.jit(golden.generator.apply)(params, io.x_t, io.t, io.z)
    assert relative(x_0, io.x_0_pred) < RTOL
    assert convert(f"--workdir={workdir}", f"--export={tmp_path / 'b.pth'}") == 0
    back = read_torch(tmp_path / "b.pth")
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array, err_msg=name)

    capfd.readouterr()
    assert convert("--source=ddgan", *start) == 1
    runs.one_line(capfd.readouterr().err, ["config.gen.network is 'wavelet_ncsnpp'", "'ncsnpp'"])


def test_generators_of_both_kinds_have_names():
    """The published CIFAR-10 generator is the plain NCSN++ with the names of NCSN++."""
    small = dict(channels=4, width=4, multipliers=(1, 1), blocks=1, attention=())
    x, t, z = jnp.zeros((1, 4, 4, 4)), jnp.zeros(1, jnp.int32), jnp.zeros((1, 2))
    for cls, pyramid, bands in ((NCSNpp, ".Conv2d_0.weight", 0), (WaveletNCSNpp, ".weight", 2)):
        module = cls(**small, z_width=4, z_layers=0)
        tree = jax.eval_shape(module.init, jax.random.key(0), x, t, z)["params"]
        entries = generator_entries(tree)
        names = {entry.path: entry.name for entry in entries}
        assert names[("pyramid_0", "kernel")] == f"all_modules.5{pyramid}"
        assert sum("convH_0" in name for name in names.values()) == bands
        assert len(to_arrays(jax.tree.map(lambda s: np.zeros(s.shape), tree), entries)) == len(
            names
        )
