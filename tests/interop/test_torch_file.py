"""PyTorch files are read and written without PyTorch, and nothing in them is executed."""

import argparse
import os
import pickle
import pickletools
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from torch_writer import View, write_torch

from ddgan_jax.core.errors import UserError
from ddgan_jax.interop.torch_file import read_torch
from ddgan_jax.interop.torch_writer import write_torch as save_torch
from ddgan_jax.interop.weight_files import read_arrays

both = pytest.mark.parametrize("stream", [False, True], ids=["zip", "stream"])


WEIGHT = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
TENSORS = {
    "weight": WEIGHT,
    "double": np.arange(3.0),
    "batches": np.asarray(7, np.int64),
    "none": np.zeros((0, 3), np.float32),
}
VIEWS = {
    "transposed": View(WEIGHT.reshape(-1), 0, (6, 5, 4), (1, 6, 30)),
    "part": View(WEIGHT.reshape(-1), 33, (2, 3), (30, 12)),
    "repeated": View(np.ones(1), 0, (2, 3), (0, 0)),
}
EXPECTED = TENSORS | {
    "transposed": WEIGHT.T,
    "part": WEIGHT[1:3, ::2, 3],
    "repeated": np.ones((2, 3)),
}


@both
def test_names_shapes_values_and_dtypes(tmp_path, stream):
    write_torch(tmp_path / "a.pth", TENSORS | VIEWS, stream=stream)
    read = read_torch(tmp_path / "a.pth")
    assert list(read) == list(EXPECTED)
    for name, expected in EXPECTED.items():
        np.testing.assert_array_equal(read[name], expected, strict=True, err_msg=name)
        read[name][...] = 0  # a writable copy
    assert read["part"].strides == (12, 4)


def test_a_torchscript_module():
    """`scripted.pt` is a module with a parameter, and a part with a convolution by two names."""
    read = read_arrays(Path(__file__).with_name("scripted.pt"))
    names = {"scale", "layers.count"}
    names |= {f"layers.{c}.{kind}" for c in ("conv", "twin") for kind in ("weight", "bias")}
    assert set(read) == names
    np.testing.assert_array_equal(read["scale"], np.float32([0.5, 0.25]), strict=True)
    np.testing.assert_array_equal(read["layers.count"], np.asarray(3), strict=True)
    np.testing.assert_allclose(read["layers.conv.bias"], [-0.823045, -0.735939], rtol=1e-5)
    np.testing.assert_array_equal(read["layers.conv.weight"], read["layers.twin.weight"])
    assert read["layers.conv.weight"].shape == (2, 1, 1, 1)


def test_a_module_whose_parts_are_used_many_times(tmp_path):
    """Part 1 is used twice by part 2, part 2 twice by part 3, ...: 2^30 ways to the innermost."""
    module = b"c__torch__\nM\n)\x81}"
    data = b"\x80\x02" + module + b"(X\x01\x00\x00\x00aK\x01ub" + b"q\x00"
    for i in range(30):
        twice = b"(X\x01\x00\x00\x00ah%cX\x01\x00\x00\x00bh%cub" % (i, i)
        data += module + twice + b"q" + bytes([i + 1])
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", data + b".")
    with pytest.raises(UserError, match=r"a\.pt: .*a module with too many attributes"):
        read_torch(tmp_path / "a.pt")


def test_written_files_are_read_back(tmp_path):
    ours = {
        **TENSORS,
        **{
            "half": np.ones(2, np.float16),
            "flags": np.array([True, False]),
            "transposed": WEIGHT.T,
        },
        **{"a.0.weight": WEIGHT[:, 0], "scalar": np.asarray(3, np.float32)},
    }
    save_torch(tmp_path / "a.pth", ours)
    read = read_torch(tmp_path / "a.pth")
    assert list(read) == list(ours)
    for name, expected in ours.items():
        np.testing.assert_array_equal(read[name], expected, strict=True, err_msg=name)
    first = (tmp_path / "a.pth").read_bytes()
    save_torch(tmp_path / "a.pth", ours)
    assert (tmp_path / "a.pth").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


def test_written_files_name_what_pytorch_names(tmp_path):
    """The same classes and members: torch.load(weights_only=True) accepts only known ones."""
    save_torch(tmp_path / "ours.pth", TENSORS)
    write_torch(tmp_path / "theirs.pth", TENSORS, stream=False)
    found = []
    for name in ("ours", "theirs"):
        with zipfile.ZipFile(tmp_path / f"{name}.pth") as archive:
            assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}
            inner = [member.partition("/")[2] for member in archive.namelist()]
            pickled = next(archive.read(n) for n in archive.namelist() if n.endswith("data.pkl"))
        opcodes = pickletools.genops(pickled)
        found.append((set(inner), {arg for op, arg, _ in opcodes if op.name == "GLOBAL"}))
    (ours, names), (theirs, their_names) = found
    assert names == their_names and len(names) == 5  # three dtypes, tensor, OrderedDict
    assert ours == theirs | {"version"}


@pytest.mark.parametrize("size", ["small", "large"])
def test_files_written_by_pytorch(reference, size):
    ours = read_torch(reference(f"reference/ddgan_{size}_netG.pth"))
    with np.load(reference(f"reference/ddgan_{size}.npz")) as file:
        theirs = {f"module.{k[2:]}": v for k, v in file.items() if k.startswith("G/")}
    assert set(ours) == set(theirs)
    for name, expected in theirs.items():
        np.testing.assert_array_equal(ours[name], expected, strict=True, err_msg=name)


@both
def test_every_truncated_file_is_one_line(tmp_path, stream):
    path = tmp_path / "a.pth"
    write_torch(path, TENSORS | VIEWS, stream=stream)
    whole = path.read_bytes()
    for length in range(0, len(whole), 61):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"^[^\n]*a\.pth: not a PyTorch file[^\n]*$"):
            read_torch(path)


class Harmful:
    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


@both
def test_nothing_is_executed(tmp_path, stream):
    write_torch(tmp_path / "a.pth", {"weight": Harmful()}, stream=stream)
    with pytest.raises(
        UserError, match=r"'weight' is a (__builtin__|builtins)\.exec, not a tensor"
    ):
        read_torch(tmp_path / "a.pth")


@both
def test_views_outside_of_their_memory_are_refused(tmp_path, stream):
    memory = np.arange(6, dtype=np.float32)
    write_torch(tmp_path / "a.pth", {"weight": View(memory, 1, (3,), (2,))}, stream=stream)
    np.testing.assert_array_equal(read_torch(tmp_path / "a.pth")["weight"], [1, 3, 5])
    for offset, shape, stride in ((0, 7, 1), (2, 3, 2), (6, 1, 1), (5, 2, -1), (-1, 2, 1)):
        view = View(memory, offset, (shape,), (stride,))
        write_torch(tmp_path / "a.pth", {"weight": view}, stream=stream)
        with pytest.raises(UserError, match="cut short or damaged"):
            read_torch(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ([np.zeros(2)], "a list, not a dictionary of tensors"),
        ({"epoch": 3}, "'epoch' is a int, not a tensor"),
        ({"state_dict": {"weight": np.zeros(2)}}, "'state_dict' is a dict, not a tensor"),
    ],
)
def test_other_trees_are_refused(tmp_path, tree, words):
    write_torch(tmp_path / "a.pth", tree, stream=False)
    with pytest.raises(UserError, match=words):
        read_torch(tmp_path / "a.pth")


@both
def test_a_dictionary_among_others(tmp_path, stream):
    """A checkpoint for resuming training holds other objects beside the weights."""
    other = {"args": argparse.Namespace(lr=1e-4), View: {"best": Harmful()}, "optimizer": [None]}
    write_torch(tmp_path / "a.pth", {**other, "net": {"weight": WEIGHT}}, stream=stream)
    read = read_torch(tmp_path / "a.pth", inside=("ema", "net"))
    assert list(read) == ["weight"]
    np.testing.assert_array_equal(read["weight"], WEIGHT, strict=True)
    with pytest.raises(UserError, match=r"'args' is a argparse\.Namespace, not a tensor"):
        read_torch(tmp_path / "a.pth", inside=("ema",))
    with pytest.raises(UserError, match=r"a\.pth: .*a list, not a dictionary of tensors"):
        read_torch(tmp_path / "a.pth", inside=("optimizer",))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        read_torch(tmp_path / "none.pth")
    with pytest.raises(UserError, match="Is a directory"):
        read_torch(tmp_path)
    (tmp_path / "text.pth").write_text("<html>not found</html>")
    with zipfile.ZipFile(tmp_path / "zip.pth", "w") as archive:
        archive.writestr("a.txt", "a")
    for name in ("text", "zip"):
        with pytest.raises(UserError, match=rf"{name}\.pth: not a PyTorch file of tensors"):
            read_torch(tmp_path / f"{name}.pth")


def test_bfloat16_is_widened(tmp_path):
    """Two bytes per number, the upper ones of its float32."""
    save_torch(tmp_path / "a.pth", {"weight": WEIGHT.view(np.int16)[..., 1::2]})
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "b.pth", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content.replace(b"ShortStorage", b"BFloat16Storage"))
    read = read_torch(tmp_path / "b.pth")["weight"]
    expected = (WEIGHT.view(np.uint32) & 0xFFFF0000).view(np.float32)
    np.testing.assert_array_equal(read, expected, strict=True)


def test_feature_networks_are_read_in_any_precision(tmp_path):
    """Of a compiled network, too; the checks of the arrays need float32."""
    arrays = {"module._orig_mod.fc.weight": np.ones((2, 3)), "module._orig_mod.n": np.asarray(7)}
    write_torch(tmp_path / "a.pth", arrays, stream=True)
    read = read_arrays(tmp_path / "a.pth")
    np.testing.assert_array_equal(read["fc.weight"], np.ones((2, 3), np.float32), strict=True)
    assert read["n"] == 7 and read["n"].dtype == np.int64


def zipped(path, pickled, data=(), compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("weights/data.pkl", pickled)
        for key, content in dict(data).items():
            archive.writestr(f"weights/data/{key}", content)


NESTED = {
    "tuples": b"\x80\x02}U\x01a" + b")" + b"\x85" * 10**6 + b"s.",
    "tuples as keys": b"\x80\x02})" + b"\x85" * 10**6 + b"K\x01s.",
    "marked tuples": b"\x80\x02}" + b"(" * 10**6 + b"t" * 10**6 + b"K\x01s.",
    "lists": b"\x80\x02}U\x01a" + b"]" * 10**6 + b"a" * (10**6 - 1) + b"s.",
    "dictionaries": b"\x80\x02" + b"}K\x01" * 10**6 + b"}" + b"s" * 10**6 + b".",
}


@pytest.mark.parametrize("kind", NESTED)
def test_a_million_containers_in_one_another_are_one_line(tmp_path, kind):
    """In a process of its own, which such a file must not end by a signal."""
    zipped(tmp_path / "a.pth", NESTED[kind])
    code = "import sys; from ddgan_jax.interop.torch_file import *\n"
    code += "try: read_torch(sys.argv[1])\nexcept UserError as error: print(error)"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a.pth"],
        capture_output=True,
        text=True,
        cwd=root,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1 and "nests deeper than 100 containers" in done.stdout


def test_many_containers_beside_one_another_are_no_nesting(tmp_path):
    """Long lists are pickled in batches, each of which fills the same list."""
    tree = {
        "net": {"weight": WEIGHT},
        "ids": list(range(200_000)),
        "of": {i: [] for i in range(9999)},
    }
    write_torch(tmp_path / "a.pth", tree, stream=False)
    np.testing.assert_array_equal(read_torch(tmp_path / "a.pth", ("net",))["weight"], WEIGHT)


def claimed(size, shape, strides):
    """A pickle of one float32 tensor with a storage of `size` elements."""
    storage = b"U\x07storagectorch\nFloatStorage\nU\x010U\x03cpu" + number(size)
    parts = (b"".join(map(number, shape)), b"".join(map(number, strides)))
    args = b"((" + storage + b"tQK\x00(" + parts[0] + b"t(" + parts[1] + b"t\x89}t"
    return b"\x80\x02}U\x01ac" + b"torch._utils\n_rebuild_tensor_v2\n" + args + b"Rs."


def number(value):
    return pickle.dumps(value, protocol=2)[2:-1]


BOMBS = {
    "a shape of 10^12": (claimed(1, (10**6, 10**6), (0, 0)), {"0": bytes(4)}, "has the shape"),
    "a storage of 10^12": (claimed(10**12, (1,), (1,)), {"0": bytes(4)}, "cut short"),
    "a text of 10^12": (b"\x80\x04\x8d" + (10**12).to_bytes(8, "little") + b"a.", {}, "bytes"),
    "an object number of 10^9": (
        b"\x80\x02}r" + (10**9).to_bytes(4, "little") + b".",
        {},
        "number 1,000,000,000",
    ),
    "many classes": (
        b"\x80\x02}U\x01a(" + b"".join(b"ca\n%d\n" % i for i in range(10_001)) + b"ts.",
        {},
        "10,000 classes",
    ),
    "a dtype with a state": (b"\x80\x02}U\x01actorch\nFloatStorage\n}U\x01bK\x01sbs.", {}, ""),
    "a long integer": (b"\x80\x02}U\x01aL" + b"1" * 10**4 + b"L\ns.", {}, "4300 digits"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_absurd_sizes_are_refused_before_memory_is_taken(tmp_path, kind):
    pickled, data, words = BOMBS[kind]
    zipped(tmp_path / "a.pth", pickled, data)
    with pytest.raises(UserError, match=rf"^[^\n]*a\.pth: not a PyTorch file[^\n]*{words}[^\n]*$"):
        read_torch(tmp_path / "a.pth")


def test_compressed_members_are_refused(tmp_path):
    content = {"0": bytes(4 * 10**6)}
    zipped(tmp_path / "a.pth", claimed(10**6, (10**6,), (1,)), content, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="weights/data/0 is compressed"):
        read_torch(tmp_path / "a.pth")
    zipped(tmp_path / "a.pth", b"\x80\x02" + b"0" * 2**27, {}, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="more than 67,108,864 bytes"):
        read_torch(tmp_path / "a.pth")


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "a.pth")
    with pytest.raises(UserError, match="a pipe or a device"):
        read_torch(tmp_path / "a.pth")
