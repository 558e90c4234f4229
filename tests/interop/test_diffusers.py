"""DDPM's U-Net with weights of the Diffusers library: parity, names, settings, its file format.

`diffusers/` holds a narrow `UNet2DModel` that Diffusers 0.42.1 saved, and numbers that it and its
schedulers made in float64 (`golden.npz`), with given noise.
"""

import json
import shutil
import struct
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs as runs

from ddgan_jax import load
from ddgan_jax.core.errors import UserError
from ddgan_jax.interop.diffusers import current_names, generator_entries
from ddgan_jax.interop.names import to_arrays, to_params
from ddgan_jax.interop.safetensors import is_safetensors, read_safetensors, write_safetensors
from ddgan_jax.methods import ddpm
from ddgan_jax.networks.ddpm_unet import DDPMUNet
from ddgan_jax.spaces.pixels import pixels

FOLDER = Path(__file__).with_name("diffusers")
FILE = FOLDER / "diffusion_pytorch_model.safetensors"
UNET = DDPMUNet(3, width=4, multipliers=(1, 2, 2), blocks=1, attention=(4,), groups=2)
FIELDS = ["gen.width=4", "gen.multipliers=1,2,2", "gen.blocks=1", "gen.attention=4", "gen.groups=2"]


@pytest.fixture(scope="module")
def golden():
    with np.load(FOLDER / "golden.npz") as file:
        arrays = dict(file)
    return {k: v.astype(np.float32).swapaxes(-3, -1).swapaxes(-3, -2) if v.ndim > 1 else v
            for k, v in arrays.items()}  # fmt: skip


@pytest.fixture(scope="module")
def params():
    x, t = jnp.zeros((1, 8, 8, 3)), jnp.zeros(1, jnp.int32)
    shapes = jax.eval_shape(UNET.init, jax.random.key(0), x, t, x)["params"]
    arrays = read_safetensors(FILE)
    found = to_params(arrays, generator_entries(shapes), shapes)
    back = to_arrays(found, generator_entries(found))
    assert back.keys() == arrays.keys()
    for name in arrays:
        np.testing.assert_array_equal(back[name], arrays[name], strict=True)
    return found


@pytest.mark.slow
def test_the_network_is_the_published_one(golden, params):
    ours = jax.jit(UNET.apply)({"params": params}, golden["x"], jnp.asarray(golden["t"]), None)
    assert np.abs(golden["y"]).mean() > 0.01
    np.testing.assert_allclose(ours, golden["y"], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sampler", "variance"),
    [
        ("fixed_small", "ancestral", "posterior"),
        ("fixed_large", "ancestral", "beta"),
        ("ddim", "ddim", "posterior"),
    ],
)
def test_samplers_are_the_published_ones(golden, params, monkeypatch, name, sampler, variance):
    """Four steps of Diffusers' schedulers, with their noise; DDIM with use_clipped_model_output."""
    noise = jnp.asarray(golden["noises"])

    def recorded(keys, step, use, shape):
        del keys, use, shape
        return jnp.asarray(golden["x_T"]) if isinstance(step, int) else noise[step]

    monkeypatch.setattr(ddpm, "per_sample_normal", recorded)
    method = ddpm.make_ddpm(
        generator=UNET,
        space=pixels((8, 8, 3)),
        betas=np.linspace(0.1, 0.4, 4, dtype=np.float32),
        sampler=sampler,
        sample_steps=4,
        clip=True,
        variance=variance,
    )
    keys = jax.random.split(jax.random.key(0), 2)
    ours = method.sample({"gen": params}, keys, ())
    assert (np.abs(golden[name]) < 0.99).mean() > 0.3  # not clipped
    np.testing.assert_allclose(ours, golden[name], rtol=1e-3, atol=1e-4)


@pytest.fixture
def command(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "images.npz", images=images)
    config = f"--config={runs.ROOT}/configs/ddpm_cifar10.py"
    data = [f"data.name=npz:{tmp_path / 'images.npz'}", "data.image_size=8", "sampler.steps=2"]
    shutil.copytree(FOLDER, tmp_path / "unet")
    file = tmp_path / "unet" / FILE.name
    shared = ["convert", "--source=diffusers_ddpm", config, *runs.flags([*FIELDS, *data])]
    return [*shared, f"--checkpoint={file}", f"--workdir={tmp_path / 'run'}"]


@pytest.mark.slow
def test_import_sample_and_export(command, tmp_path, params):
    runs.ok(*command)
    model = load(tmp_path / "run")
    for ours, theirs in zip(*map(jax.tree.leaves, (model.params["gen"], params)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    drawn = model.sample(jax.random.key(0), 2)
    assert drawn.shape == (2, 8, 8, 3) and np.isfinite(drawn).all()
    out = tmp_path / "back.safetensors"
    runs.ok("convert", f"--workdir={tmp_path / 'run'}", f"--export={out}")
    ours, theirs = read_safetensors(out), read_safetensors(FILE)
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], strict=True)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("flip_sin_to_cos", True),
        ("freq_shift", None),
        ("downsample_padding", 1),
        ("norm_eps", 1e-5),
        ("norm_num_groups", 4),
        ("attention_head_dim", 8),
        ("layers_per_block", 2),
        ("block_out_channels", [4, 8]),
        ("up_block_types", ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D"]),
        ("down_block_types", "DownBlock2D"),
    ],
)
def test_settings_without_parameters_are_checked(command, tmp_path, capfd, setting, value):
    path = tmp_path / "unet" / "config.json"
    found = json.loads(path.read_text())
    found = {k: v for k, v in (found | {setting: value}).items() if v is not None or k != setting}
    path.write_text(json.dumps(found))
    runs.fails(capfd, command, str(path), setting)
    assert not (tmp_path / "run").exists()


def test_a_missing_config_is_named(command, tmp_path, capfd):
    (tmp_path / "unet" / "config.json").unlink()
    runs.fails(capfd, command, "config.json is missing")


def test_earlier_names_of_attention_layers():
    earlier = {}
    for name, array in read_safetensors(FILE).items():
        for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value")):
            name = name.replace(f".{new}.", f".{old}.")
        earlier[name.replace(".to_out.0.", ".proj_attn.")] = array
    assert any(name.endswith("proj_attn.bias") for name in earlier)
    assert set(current_names(earlier)) == set(read_safetensors(FILE))
    assert set(current_names(read_safetensors(FILE))) == set(read_safetensors(FILE))


# --- the format ----------------------------------------------------------------------------------


def written(table, data=b"", length=None):
    header = json.dumps(table).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def test_arrays_are_read_as_written(tmp_path):
    arrays = {
        "b": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "a": np.asarray(3, np.int64),
        "none": np.zeros((0, 4), np.float16),
        "flags": np.array([True, False]),
    }
    path = tmp_path / "a.safetensors"
    write_safetensors(path, arrays)
    assert is_safetensors(path) and not is_safetensors(FOLDER / "golden.npz")
    read = read_safetensors(path)
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array, strict=True)
    upper = struct.pack("<HH", 0x3F80, 0xC000)  # of 1 and -2
    path.write_bytes(written({"x": dict(dtype="BF16", shape=[2], data_offsets=[0, 4])}, upper))
    np.testing.assert_array_equal(read_safetensors(path)["x"], np.float32([1, -2]), strict=True)


def item(dtype="F32", shape=(1,), offsets=(0, 4)):
    return dict(dtype=dtype, shape=list(shape), data_offsets=list(offsets))


@pytest.mark.parametrize(
    ("content", "words"),
    {
        "empty": (b"", "header"),
        "long": (written({"x": item()}, b"1234", 10**12), "header has 1,000,000,000,000 bytes"),
        "no table": (struct.pack("<Q", 2) + b"[]", "no table"),
        "no JSON": (struct.pack("<Q", 4) + b"{{{{", "damaged"),
        "cut": (written({"x": item()}, b"12"), "cut short"),
        "more": (written({"x": item()}, b"123456"), "belong to no array"),
        "overlap": (written({"x": item(), "y": item()}, b"1234"), "begins at byte 0, not 4"),
        "hole": (written({"x": item(offsets=(4, 8))}, b"12345678"), "begins at byte 4, not 0"),
        "size": (written({"x": item(shape=(2,))}, b"1234"), r"shape \(2,\) has 4 bytes"),
        "huge": (written({"x": item(shape=(10**9, 10**9))}, b"1234"), "has 4 bytes"),
        "negative": (written({"x": item(shape=(-1,))}, b"1234"), "no shape or no place"),
        "dtype": (written({"x": item("F8_E4M3")}, b"1234"), "is F8_E4M3; F64"),
        "kind": (written({"x": 3}, b"1234"), "no dtype"),
        "deep": (struct.pack("<Q", 300_000) + b'{"a":' * 60_000, "damaged"),
    }.values(),
)
def test_damaged_files_are_one_line(tmp_path, content, words):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.safetensors: not a \.safetensors .*{words}|{words}"):
        read_safetensors(tmp_path / "a.safetensors")
