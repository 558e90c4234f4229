"""`python -m ddgan_jax convert`: published checkpoints into run folders, and back."""

import argparse
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs as runs
from torch_writer import write_torch

import ddgan_jax
from ddgan_jax.cli import main
from ddgan_jax.config.overrides import load_config_file, override
from ddgan_jax.core.errors import UserError
from ddgan_jax.inference.published import SOURCES, check_network, source_of
from ddgan_jax.interop.averages import read_published
from ddgan_jax.interop.names import to_arrays
from ddgan_jax.interop.torch_file import read_torch
from ddgan_jax.networks import GENERATORS, build_network

CONFIG = f"{runs.ROOT}/configs/ddgan_cifar10.py"
GEN = dict(width=8, multipliers="1,2", blocks=1, attention=8, z_width=8, z_layers=1)
SMALL = {
    **{f"gen.{field}": value for field, value in GEN.items()},
    **{"disc.width": 2, "disc.multipliers": "1", "disc.downsample": "true", "disc.t_width": 4},
    **{"data.image_size": 16, "latent_size": 4},
}


def flags(fields):
    return [f"--config.{field}={value}" for field, value in fields.items()]


def convert(*args):
    return main(["convert", *map(str, args)])


def imported(file, workdir, *args):
    start = ("--source=ddgan", f"--config={CONFIG}", *flags(SMALL))
    assert convert(*start, f"--checkpoint={file}", f"--workdir={workdir}", *args) == 0
    return workdir


def assert_equal(ours, theirs):
    assert list(ours) == list(theirs)
    for name, expected in theirs.items():
        np.testing.assert_array_equal(ours[name], expected, strict=True, err_msg=name)


@pytest.fixture(scope="module")
def arrays():
    """Arrays of a small random generator under the published names."""
    config = override(load_config_file(CONFIG), {k: str(v) for k, v in SMALL.items()})
    x, t, z = jnp.zeros((1, 16, 16, 3)), jnp.zeros(1, jnp.int32), jnp.zeros((1, 4))
    generator = build_network(config, "gen", GENERATORS, (16, 16, 3))
    tree = jax.eval_shape(generator.init, jax.random.key(0), x, t, z)["params"]
    rng = np.random.default_rng(0)
    tree = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), tree)
    return to_arrays(tree, SOURCES["ddgan"].entries(tree))


@pytest.fixture(scope="module")
def folder(arrays, tmp_path_factory):
    """A run folder converted from `arrays`."""
    place = tmp_path_factory.mktemp("published")
    write_torch(place / "netG_1200.pth", arrays, stream=False)
    return imported(place / "netG_1200.pth", place / "run")


def test_the_imported_folder_can_be_sampled_from(folder, arrays):
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoints",
        "config.json",
        "info.json",
    ]
    info = json.loads((folder / "info.json").read_text())
    assert info["parameters"] == {"gen": sum(array.size for array in arrays.values())}
    assert info["data"]["shape"] == [16, 16, 3]
    assert info["converted"]["source"] == "ddgan" and info["converted"]["file"] == "netG_1200.pth"
    model = ddgan_jax.load(folder)
    assert model.config.gen.width == 8 and model.step == 0
    np.testing.assert_array_equal(
        model.params["gen"]["conv_in"]["kernel"],
        arrays["all_modules.2.weight"].transpose(2, 3, 1, 0),
    )


def wrapped(arrays):
    return {f"module.{name}": array for name, array in arrays.items()}


def resumable(arrays):
    """A published checkpoint for resuming: the network beside settings and counters."""
    other = {"epoch": 3, "args": argparse.Namespace(lr=1e-4), "optimizerG": {"state": {0: [None]}}}
    return {**other, "netG_dict": wrapped(arrays), "netD_dict": {"module.x": np.zeros(2)}}


@pytest.mark.parametrize(("form", "stream"), [(wrapped, True), (resumable, False)])
def test_export_of_import_is_the_file(arrays, tmp_path, form, stream):
    write_torch(tmp_path / "a.pth", form(arrays), stream=stream)
    folder = imported(tmp_path / "a.pth", tmp_path / "run", "--step=7")
    args = (f"--workdir={folder}", "--source=ddgan", "--step=7", "--module_prefix")
    assert convert(*args, f"--export={tmp_path / 'b.pth'}") == 0
    assert_equal(read_torch(tmp_path / "b.pth"), wrapped(arrays))


def resumed(arrays, change=lambda averages: averages):
    """A published content.pth with twice the weights as averages, in the optimizer's state."""
    averages = change([2 * array for array in arrays.values()])
    steps = {i: {"step": 7, "exp_avg": a, "ema": a} for i, a in enumerate(averages)}
    group = {"lr": 1e-4, "params": list(range(len(arrays)))}
    return resumable(arrays) | {"optimizerG": {"state": steps, "param_groups": [group]}}


def info_of(folder):
    return json.loads((folder / "info.json").read_text())["converted"]


def test_averages_are_read_where_the_file_has_them(arrays, tmp_path, capfd):
    write_torch(tmp_path / "content.pth", resumed(arrays), stream=False)
    first = arrays["all_modules.2.weight"].transpose(2, 3, 1, 0)
    for flag, factor, holds in (
        ((), 2, "moving average, kept beside the weights"),
        (("--raw",), 1, "weights that the optimizer updates"),
    ):
        folder = imported(tmp_path / "content.pth", tmp_path / f"run{factor}", *flag)
        assert f"content.pth: {holds}\n" in capfd.readouterr().out
        assert info_of(folder)["holds"] == holds
        kernel = ddgan_jax.load(folder).params["gen"]["conv_in"]["kernel"]
        np.testing.assert_array_equal(kernel, factor * first)


def test_info_says_that_there_are_no_averages(folder, arrays, tmp_path):
    assert "does not say whether they are averaged" in info_of(folder)["holds"]
    write_torch(tmp_path / "content.pth", resumable(arrays), stream=False)
    holds = info_of(imported(tmp_path / "content.pth", tmp_path / "run"))["holds"]
    assert holds == "weights that the optimizer updates, no moving average is beside them"


@pytest.mark.parametrize(
    "change",
    [lambda a: a[:-1], lambda a: a[::-1], lambda a: [*a, a[0]]],
    ids=["few", "order", "more"],
)
def test_averages_that_do_not_fit_are_one_line(arrays, tmp_path, capfd, change):
    file = tmp_path / "content.pth"
    write_torch(file, resumed(arrays, change), stream=False)
    args = ("--source=ddgan", f"--config={CONFIG}", *flags(SMALL), f"--checkpoint={file}")
    assert convert(*args, f"--workdir={tmp_path / 'run'}") == 1
    runs.one_line(capfd.readouterr().err, ["averages in 'optimizerG' do not fit", "--raw"])


def test_averages_of_latent_diffusion_are_read(tmp_path):
    arrays = {"encoder.conv.weight": np.ones(2, np.float32)}
    averages = {"model_ema.encoderconvweight": np.full(2, 3, np.float32)}
    counters = {"model_ema.decay": np.ones(1, np.float32)}
    write_torch(tmp_path / "a.ckpt", {"state_dict": arrays | averages | counters}, stream=False)
    read = read_published(tmp_path / "a.ckpt", ("state_dict",), {}, raw=False)
    assert read.holds.startswith("moving average") and list(read.arrays) == list(arrays)
    np.testing.assert_array_equal(read.arrays["encoder.conv.weight"], [3, 3])
    raw = read_published(tmp_path / "a.ckpt", ("state_dict",), {}, raw=True)
    np.testing.assert_array_equal(raw.arrays["encoder.conv.weight"], [1, 1])


def test_compiled_networks_and_double_precision_are_read(folder, arrays, tmp_path):
    compiled = {f"module._orig_mod.{k}": v.astype(np.float64) for k, v in arrays.items()}
    write_torch(tmp_path / "a.pth", compiled, stream=False)
    found = ddgan_jax.load(imported(tmp_path / "a.pth", tmp_path / "run")).params
    for ours, expected in zip(
        jax.tree.leaves(found), jax.tree.leaves(ddgan_jax.load(folder).params), strict=True
    ):
        np.testing.assert_array_equal(ours, expected, strict=True)


def test_the_network_is_that_of_the_file(folder, arrays, tmp_path, capsys):
    """With a config of another checkpoint, where the file cannot say the rest."""
    start = ("--source=ddgan", f"--config={CONFIG}", f"--checkpoint={folder.parent}/netG_1200.pth")
    rest = ("--config.data.image_size=16", "--config.diffusion.num_steps=2")
    assert convert(*start, *rest, f"--workdir={tmp_path / 'run'}") == 0
    assert "gen.multipliers=1,2 (config: 1,2,2,2)" in capsys.readouterr().out
    ours, expected = ddgan_jax.load(tmp_path / "run"), ddgan_jax.load(folder)
    assert ours.config.gen == expected.config.gen and ours.config.latent_size == 4
    assert ours.config.diffusion.num_steps == 2
    jax.tree.map(np.testing.assert_array_equal, ours.params, expected.params)


def test_what_the_file_does_not_say_is_said(arrays, tmp_path, capsys):
    write_torch(tmp_path / "a.pth", arrays, stream=False)
    imported(tmp_path / "a.pth", tmp_path / "run")
    said = "the file does not say data.image_size=16 and diffusion.num_steps=4: as in the config"
    assert said in capsys.readouterr().out


@pytest.mark.slow
def test_import_of_export_is_the_same_run(folder, arrays, tmp_path, capsys):
    file = tmp_path / "made" / "netG.pth"
    assert convert(f"--workdir={folder}", f"--export={file}") == 0
    assert capsys.readouterr().out.startswith(f"{file}: {len(arrays)} arrays of step 0, weights ")
    assert_equal(read_torch(file), arrays)
    again = ddgan_jax.load(imported(file, tmp_path / "run")).params
    for ours, expected in zip(
        jax.tree.leaves(again), jax.tree.leaves(ddgan_jax.load(folder).params), strict=True
    ):
        np.testing.assert_array_equal(ours, expected, strict=True)


def test_arrays_of_other_networks_are_left_out(arrays, tmp_path, monkeypatch, capfd):
    file = tmp_path / "a.pth"
    write_torch(file, {**arrays, "loss.net.weight": np.zeros(3, np.float32)}, stream=False)
    args = ("--source=ddgan", f"--config={CONFIG}", *flags(SMALL), f"--checkpoint={file}")
    assert convert(*args, f"--workdir={tmp_path / 'run'}") == 1
    runs.one_line(capfd.readouterr().err, ["a.pth: 1 arrays", "'loss.net.weight' (3,)"])
    monkeypatch.setitem(SOURCES, "ddgan", SOURCES["ddgan"]._replace(without=("loss.",)))
    assert convert(*args, f"--workdir={tmp_path / 'run'}") == 0


IMPORT = ("--source=ddgan", "--checkpoint=a.pth", f"--config={CONFIG}", "--workdir=new")
MISTAKES = {
    "no such file": ([*IMPORT, "--checkpoint=b.pth"], ["b.pth", "No such file"]),
    "no PyTorch file": ([*IMPORT, "--checkpoint=text"], ["text: not a PyTorch file"]),
    "another width": (
        [*IMPORT, *flags(SMALL), "--config.gen.width=16"],
        ["a.pth has gen.width=8 (config: 16); --config.gen.width contradicts it"],
    ),
    "more attention": (
        [*IMPORT, *flags(SMALL), "--config.gen.attention=16"],
        ["a.pth has gen.attention=8 (config: 16); --config.gen.attention contradicts it"],
    ),
    "config of another checkpoint": (
        [*IMPORT, "--config.diffusion.num_steps=4"],
        [
            "latent_size=4 (config: 100), gen.width=8 (config: 128)",
            "gen.multipliers=1,2 (config: 1,2,2,2), gen.blocks=1 (config: 2)",
            "gen.z_width=8 (config: 256), gen.z_layers=1 (config: 4)",
            "does not say --config.data.image_size=VALUE, which is needed",
        ],
    ),
    "unknown source": ([*IMPORT, "--source=ddgam"], ["'ddgam'", "ddgan, wddgan", "'ddgan'?"]),
    "config of another method": (
        [*IMPORT, f"--config={runs.ROOT}/configs/gan_mnist.py"],
        ["config.method is 'gan'", "'ddgan' is needed for --source=ddgan"],
    ),
    "config of another network": (
        [*IMPORT, f"--config={runs.ROOT}/configs/ddgan_digits.py"],
        ["config.gen.network is 'mlp'", "'ncsnpp' is needed"],
    ),
    "config of another space": ([*IMPORT, "--source=lddgan"], ["config.space.kind", "'pixels'"]),
    "unknown field": ([*IMPORT, "--config.gen.widht=3"], ["config.gen.widht", "'gen.width'?"]),
    "folder that is there": ([*IMPORT, "--workdir=run"], ["--workdir=run", "not empty"]),
    "folder that is a file": ([*IMPORT, "--workdir=a.pth"], ["--workdir=a.pth", "not empty"]),
    "no config": ([IMPORT[0], IMPORT[1], IMPORT[3]], ["--config is needed", "--export"]),
    "no source": ([*IMPORT[1:]], ["--source is needed"]),
    "no workdir": ([*IMPORT[:3]], ["--workdir"]),
    "both ways": ([*IMPORT, "--export=b.pth"], ["--export", "--workdir"]),
    "file far away": ([*IMPORT, "--checkpoint=gs://a.pth"], ["--checkpoint", "this machine"]),
    "negative step": ([*IMPORT, "--step=-3"], ["--step is -3"]),
    "bands without bands": ([*IMPORT, "--bands=haar"], ["--bands", "no wavelet bands"]),
    "raw export": (["--workdir=run", "--export=b.pth", "--raw"], ["--export goes with"]),
    "file that is there": (["--workdir=run", "--export=a.pth"], ["--export=a.pth", "new name"]),
    "folder that is no run": (["--workdir=none", "--export=b.pth"], ["--workdir=none"]),
    "never published": (
        [f"--workdir={runs.ROOT}/ddgan_jax/pretrained/ddgan_digits", "--export=b.pth"],
        ["'ddgan'", "'mlp'", "no counterpart"],
    ),
    "export elsewhere": (
        ["--workdir=run", "--export=b.pth", "--source=lddgan"],
        ["config.space.kind is 'pixels'; 'latent' is needed for --source=lddgan"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(folder, tmp_path, monkeypatch, capfd, mistake):
    monkeypatch.chdir(tmp_path)
    shutil.copy(folder.parent / "netG_1200.pth", "a.pth")
    shutil.copytree(folder, "run")
    (tmp_path / "text").write_text("<html>not found</html>")
    before = runs.listing(tmp_path)
    args, words = MISTAKES[mistake]
    assert convert(*args) == 1
    runs.one_line(capfd.readouterr().err, words)
    assert runs.listing(tmp_path) == before and not (tmp_path / "new").exists()


def test_help_names_every_source(capsys):
    assert convert("--help") == 0
    text = capsys.readouterr().out
    for word in (*SOURCES, "--export", "torch.load(FILE, weights_only=True)", "netG_1200.pth"):
        assert word in text, word


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("space.kind", "other"),
        ("gen.coordinates", True),
        ("gen.equalized", True),
        ("gen.network", "mlp"),
        ("classes", 10),
    ],
)
def test_unpublished_networks_have_no_source(name, value):
    config = load_config_file(CONFIG)
    section, _, last = name.rpartition(".")
    if section:
        last, value = section, {**config.get(section, {}), last: value}
    config[last] = value
    with pytest.raises(UserError, match="no counterpart among the published networks: ddgan"):
        source_of(config)


def test_class_conditional_networks_have_no_source():
    config = load_config_file(CONFIG)
    config.classes = 10
    with pytest.raises(UserError, match=r"config\.classes is 10; 0 is needed"):
        check_network("ddgan", config)
    with pytest.raises(UserError, match="no counterpart"):
        source_of(config)


@pytest.mark.parametrize("name", ["ddgan_cifar10", "ddgan_celebahq256", "ddgan_lsun_church256"])
def test_published_configs_have_their_source(name):
    assert source_of(load_config_file(f"{runs.ROOT}/configs/{name}.py")) == "ddgan"


@pytest.mark.slow
@pytest.mark.parametrize("size", ["small", "large"])
def test_published_file_gives_the_published_images(reference, tmp_path, size):
    """From a file that PyTorch wrote to the numbers that PyTorch computed, and back to the file."""
    file = reference(f"reference/ddgan_{size}_netG.pth")
    with np.load(reference(f"reference/ddgan_{size}.npz")) as golden:
        meta = json.loads(str(golden["meta"]))
        io = {name: jnp.asarray(golden[f"io/{name}"]) for name in ("x_tp1", "t", "z", "x_0_pred")}
    published = meta["generator"]
    network = {
        "gen.width": published["num_channels_dae"],
        "gen.multipliers": ",".join(map(str, published["ch_mult"])),
        "gen.blocks": published["num_res_blocks"],
        "gen.attention": ",".join(map(str, published["attn_resolutions"])),
        "gen.z_width": published["z_emb_dim"],
        "gen.z_layers": published["n_mlp"],
        "latent_size": published["nz"],
        "data.image_size": published["image_size"],
        "diffusion.num_steps": meta["num_timesteps"],
    }
    folder = imported(file, tmp_path / "run", *flags(network))
    if size == "small":  # the command is the same for both
        runs.ok("--mode=sample", f"--workdir={folder}", "--num_images=8")
        with np.load(folder / "samples" / "samples.npz") as samples:
            assert samples["images"].shape == (8, *io["x_tp1"].shape[1:])
            assert samples["images"].std() > 1
    model = ddgan_jax.load(folder)
    generator = build_network(model.config, "gen", GENERATORS, model.shape)
    params = jax.device_put(model.params["gen"], jax.devices()[0])
    t = io["t"].astype(jnp.int32)
    ours = jax.jit(generator.apply)({"params": params}, io["x_tp1"], t, io["z"])
    difference = np.linalg.norm(ours - io["x_0_pred"]) / np.linalg.norm(io["x_0_pred"])
    assert difference < 1e-4
    assert convert(f"--workdir={folder}", f"--export={tmp_path / 'b.pth'}", "--module_prefix") == 0
    assert_equal(read_torch(tmp_path / "b.pth"), read_torch(file))
