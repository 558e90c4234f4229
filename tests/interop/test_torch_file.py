"""PyTorch files are read and written without PyTorch, and nothing in them is executed."""

import argparse
import pickletools
import zipfile

import numpy as np
import pytest
from torch_writer import View, write_torch

from ddgan_jax.core.errors import UserError
from ddgan_jax.interop.torch_file import read_torch
from ddgan_jax.interop.torch_file import write_torch as save_torch

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
