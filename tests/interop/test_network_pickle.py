"""Network pickles of StyleGAN2: the published images, the way back, and files that mean harm."""

import os
import pickle
import pickletools
import struct
import sys
import types

import jax
import numpy as np
import pytest
from PIL import Image

from ddgan_jax.cli import main
from ddgan_jax.core.errors import UserError
from ddgan_jax.inference.model import load
from ddgan_jax.inference.network_pickles import config_of
from ddgan_jax.inference.published import export_checkpoint, import_checkpoint
from ddgan_jax.interop.network_pickle import NetworkFile, is_network_pickle, read_network
from ddgan_jax.interop.torch_file import read_torch
from ddgan_jax.methods import styles

PICKLE = "reference/stylegan2_small.pkl"


def silent(text):
    del text


@pytest.fixture(scope="module")
def imported(reference, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "imported"
    import_checkpoint("stylegan2", reference(PICKLE), None, folder, say=silent)
    return folder


@pytest.mark.slow
def test_images_are_the_published_ones(imported, reference, monkeypatch):
    """`Model.sample` on the z of the file and its constant noise, without and with truncation."""
    with np.load(reference("reference/stylegan2_small_pkl.npz")) as golden:
        z, *images = (golden[k] for k in ("z", "image_const_noise", "image_psi_0_7"))
    config = load(imported).config
    config.styles.noise = "constant"
    model = load(imported, config=config)
    monkeypatch.setattr(styles, "per_sample_normal", lambda keys, step, use, shape: z)
    for psi, expected in zip((1.0, 0.7), images, strict=True):
        found = model.sample(jax.random.key(0), 4, truncation_psi=psi)
        assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 1e-5, psi


def test_the_architecture_is_read_from_the_file(imported):
    model = load(imported)
    config = model.config
    assert (config.latent_size, config.classes) == (12, 0) and model.shape == (16, 16, 3)
    assert config.gen.to_dict() == dict(
        network="stylegan2",
        architecture="skip",
        channel_base=128,
        channel_max=12,
        layers=2,
        multiplier=0.01,
        width=12,
    )


def test_export_has_all_arrays_that_the_published_network_loads(imported, reference, tmp_path):
    """Names, shapes and values are those of the pickle, buffers included, and it imports again."""
    export_checkpoint(imported, tmp_path / "G.pth", say=silent)
    published, ours = read_network(reference(PICKLE)).arrays, read_torch(tmp_path / "G.pth")
    assert ours.keys() == published.keys()
    for name, array in published.items():
        assert ours[name].shape == array.shape, name
        np.testing.assert_allclose(ours[name], array, rtol=1e-6, err_msg=name)
    config = load(imported).config
    config.data.name = f"npz:{tmp_path / 'data.npz'}"
    images = np.zeros((20, 16, 16, 3), np.uint8)
    np.savez(tmp_path / "data.npz", image=images, label=np.zeros(20, np.int32))
    import_checkpoint("stylegan2", tmp_path / "G.pth", config, tmp_path / "again", say=silent)
    one, other = (load(folder).params for folder in (imported, tmp_path / "again"))
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.slow
def test_samples_and_style_mixing_of_an_imported_run(imported, tmp_path):
    run, out = f"--workdir={imported}", f"--out={tmp_path}"
    assert main(["sample", run, out, "--num_images=4", "--truncation=0.5"]) == 0
    with np.load(tmp_path / "samples.npz") as file:
        assert file["images"].shape == (4, 16, 16, 3) and file["truncation_psi"] == 0.5
    assert main(["figures", run, out]) == 0
    with Image.open(tmp_path / "style_mixing.png") as picture:
        rows, columns = 1 + 4, 1 + 8
        assert picture.width / picture.height == pytest.approx(columns / rows, rel=0.05)
    assert not (tmp_path / "path.png").exists()


def test_command(reference, tmp_path, capfd):
    run = str(tmp_path / "run")
    file = str(reference(PICKLE))
    assert main(["convert", "--source=stylegan2", f"--checkpoint={file}", f"--workdir={run}"]) == 0
    assert "moving average (G_ema)" in capfd.readouterr().out
    raw = [f"--workdir={tmp_path / 'raw'}", "--raw"]
    assert main(["convert", "--source=stylegan2", f"--checkpoint={file}", *raw]) == 0
    assert "optimizer updates (G)" in capfd.readouterr().out


# --- files that mean harm ---------------------------------------------------------------------


def _reconstruct_persistent_obj(meta):
    raise AssertionError("only its name is wanted")


class Module:
    """Pickled as the published modules are."""

    def __init__(self, **state):
        self.meta = {"type": "class", "module_src": "import os", "state": state}

    def __reduce__(self):
        return _reconstruct_persistent_obj, (self.meta,)


class Harm:
    """Pickled as a call of os.system."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def pickled(tree):
    """The pickle of a tree with `Module`s, as from the published code."""
    package, module = types.ModuleType("torch_utils"), types.ModuleType("torch_utils.persistence")
    package.persistence = module
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj
    before = _reconstruct_persistent_obj.__module__
    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    sys.modules |= {"torch_utils": package, "torch_utils.persistence": module}
    try:
        return pickle.dumps(tree, protocol=4)
    finally:
        _reconstruct_persistent_obj.__module__ = before
        del sys.modules["torch_utils.persistence"], sys.modules["torch_utils"]


def refused(tmp_path, data, words):
    """The one line about a file with these bytes."""
    path = tmp_path / "network.pkl"
    path.write_bytes(data)
    with pytest.raises(UserError) as raised:
        read_network(path)
    line = str(raised.value)
    assert str(path) in line and "\n" not in line and len(line) < 500
    assert words in line
    return line


@pytest.mark.parametrize("where", ["network", "state", "parameter", "arguments", "elsewhere"])
def test_nothing_in_a_pickle_is_executed(tmp_path, where):
    """A call of os.system is inert wherever it is; where an array is wanted, it is refused."""
    mark = tmp_path / "executed"
    harm = Harm(f"touch {mark}")
    state = dict(_init_kwargs={}, _parameters={}, _buffers={}, _modules={})
    tree = {"G_ema": Module(**state)}
    match where:
        case "network":
            tree["G_ema"], words = harm, "no network 'G_ema'"
        case "state":
            tree["G_ema"].meta["state"], words = harm, "not a network object"
        case "parameter":
            state["_parameters"]["weight"], words = harm, "weight is not a tensor"
        case "arguments":
            state["_init_kwargs"], words = harm, "does not say how it was made"
            tree = {"G_ema": Module(**state)}
        case "elsewhere":
            tree["augment_pipe"], words = harm, ""
    data = pickled(tree)
    if words:
        refused(tmp_path, data, words)
    else:
        (tmp_path / "network.pkl").write_bytes(data)
        assert read_network(tmp_path / "network.pkl").arrays == {}
    assert not mark.exists()


def test_cut_and_garbled_files_are_one_line(reference, tmp_path):
    data = reference(PICKLE).read_bytes()
    for end in (3, 12, 500, 5_000, 60_000, len(data) - 1):
        refused(tmp_path, data[:end], "")
    rng = np.random.default_rng(0)
    for _ in range(30):
        garbled = bytearray(data)
        for position in rng.integers(0, len(data), 3):
            garbled[position] ^= 1 << rng.integers(0, 8)
        (tmp_path / "garbled.pkl").write_bytes(garbled)
        try:
            network = read_network(tmp_path / "garbled.pkl")
            config_of(network, None, tmp_path / "garbled.pkl")
        except UserError as error:
            assert "\n" not in str(error)


def test_claimed_sizes_nesting_and_repetition_are_bounded(reference, tmp_path):
    start = pickle.PROTO + b"\x04"
    for opcode, size in ((pickle.BINBYTES, "<I"), (pickle.BINBYTES8, "<Q")):
        claimed = struct.pack(size, 2 ** (8 * struct.calcsize(size) - 1) - 1)
        refused(tmp_path, start + opcode + claimed + b"x", "")
    refused(tmp_path, start + pickle.EMPTY_LIST * 3000 + pickle.APPEND * 2999 + b".", "nests")
    # One storage, loaded again and again: its bytes are in the file once.
    opcodes = pickletools.genops(reference(PICKLE).read_bytes())
    stream = max((arg for _, arg, _ in opcodes if isinstance(arg, bytes)), key=len)
    call = pickle.GLOBAL + b"torch.storage\n_load_from_bytes\n" + pickle.BINPUT + b"\0"
    data = pickle.BINBYTES + struct.pack("<I", len(stream)) + stream
    data += pickle.BINPUT + b"\1" + pickle.TUPLE1 + pickle.REDUCE + pickle.POP
    again = pickle.BINGET + b"\0" + pickle.BINGET + b"\1" + pickle.TUPLE1 + pickle.REDUCE
    once = start + call + data
    refused(tmp_path, once + b"N.", "no network")
    refused(tmp_path, once + (again + pickle.POP) * 5 + b"N.", "storages have more bytes")


def test_modules_that_contain_each_other_are_one_line(tmp_path):
    """A cycle, and a tree whose names would double with every level."""
    state = dict(_init_kwargs={}, _parameters={}, _buffers={}, _modules={})
    inner = Module(**state)
    for _ in range(12):
        inner = Module(**state | {"_modules": {"a": inner, "b": inner, "c": inner}})
    refused(tmp_path, pickled({"G_ema": inner}), "more than 10,000 modules")
    meta = {"state": dict(_init_kwargs={}, _modules={})}
    loop = Module()
    loop.meta = meta
    meta["state"]["_modules"]["again"] = loop
    refused(tmp_path, pickled({"G_ema": loop}), "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(img_resolution=24), "img_resolution is 24; a power of two"),
        (dict(img_resolution=2**30), "img_resolution is '1073741824'; [8, 4096] is needed"),
        (dict(img_resolution="16"), "img_resolution is '16'"),
        (dict(mapping_kwargs=3), "mapping_kwargs is a int; a dictionary"),
        (dict(mapping_kwargs=dict(num_layers=10**9)), "num_layers is '1000000000'"),
        (dict(mapping_kwargs=dict(lr_multiplier="x")), "lr_multiplier is 'x'"),
        (dict(mapping_kwargs=dict(activation="relu")), "activation is 'relu'; 'lrelu'"),
        (dict(synthesis_kwargs=dict(architecture="style3")), "architecture is 'style3'"),
        (dict(synthesis_kwargs=dict(use_noise=False)), "use_noise is 'False'"),
        (dict(synthesis_kwargs=dict(channel_base=4)), "channel_base is '4'"),
        (dict(img_channels=9), "img_channels is '9'"),
    ],
)
def test_constructor_arguments_of_other_networks_are_one_line(tmp_path, arguments, words):
    network = NetworkFile({}, dict(img_resolution=16, **{}) | arguments, "")
    with pytest.raises(UserError) as raised:
        config_of(network, None, tmp_path / "n.pkl")
    assert words in str(raised.value) and "\n" not in str(raised.value)


def test_what_is_a_network_pickle(reference, tmp_path):
    assert is_network_pickle(reference(PICKLE))
    for name in ("reference/ddgan_small_netG.pth", "reference/ddgan_small.npz"):
        assert not is_network_pickle(reference(name))
    (tmp_path / "empty.pkl").write_bytes(b"")
    assert not is_network_pickle(tmp_path / "empty.pkl")
    with pytest.raises(UserError, match="No such file"):
        is_network_pickle(tmp_path / "none.pkl")
