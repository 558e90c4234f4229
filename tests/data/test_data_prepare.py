"""The command `prepare`: from original files to `tfds:` data sets, and damaged files."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from data_files import everything, load, write_idx, write_mnist
from PIL import Image

from ddgan_jax.cli import main
from ddgan_jax.core.errors import UserError
from ddgan_jax.data import raw_files, tfds_source, views
from ddgan_jax.evaluation.modes import stacked_modes


def by_content(images, labels):
    """Examples as a sorted list: TFDS stores them in an order of its own."""
    return sorted((i.tobytes(), int(label)) for i, label in zip(images, labels, strict=True))


def fails(capsys, args, *words):
    """The command prints one line, ends with status 1, and leaves nothing in --data_dir."""
    assert main(["prepare", *map(str, args)]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    for word in words:
        assert word in lines[0], lines[0]
    root = Path(str(args[2]).removeprefix("--data_dir="))
    assert not root.exists() or not list(root.iterdir())


@pytest.mark.parametrize(("kind", "pack"), [("mnist", True), ("fashion_mnist", False)])
def test_idx_round_trip(tmp_path, capsys, monkeypatch, kind, pack):
    arrays = write_mnist(tmp_path / "raw", pack=pack)
    root = tmp_path / "tfds"
    assert main(["prepare", kind, f"--source={tmp_path}/raw", f"--data_dir={root}"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"--config.data.name=tfds:{kind} --config.data.dir={root}"
    for split, (images, labels) in arrays.items():
        source = load(f"tfds:{kind}", root, split=split)
        assert source.shape == (28, 28, 1)
        data = everything(source)
        assert data["image"].dtype == np.uint8 and data["label"].dtype == np.int32
        assert by_content(data["image"], data["label"]) == by_content(images, labels)

    whole = everything(load(f"tfds:{kind}", root))
    padded = load(f"tfds:{kind}", root, split="train[:50%]", image_size=32, fit="pad")
    assert padded.size == 15
    np.testing.assert_array_equal(everything(padded)["image"][:, 2:30, 2:30], whole["image"][:15])
    monkeypatch.setattr(views, "MEMORY_LIMIT", 0)  # decoded on demand: the same
    order = np.array([5, 0, 29, 5])
    lazy = load(f"tfds:{kind}", root).take(order)
    np.testing.assert_array_equal(lazy["image"], whole["image"][order])
    np.testing.assert_array_equal(lazy["label"], whole["label"][order])


def test_prepared_data_mistakes(tmp_path, capsys, monkeypatch):
    write_mnist(tmp_path / "raw")
    root = tmp_path / "tfds"
    args = ["mnist", f"--source={tmp_path}/raw", f"--data_dir={root}"]
    assert main(["prepare", *args]) == 0
    assert main(["prepare", *args]) == 1  # not written over
    assert "already there" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"data.split is 'valid'; test or train, or a part"):
        load("tfds:mnist", root, split="valid")

    monkeypatch.setattr(tfds_source, "_has_tensorflow", lambda: False)
    with pytest.raises(UserError, match=r"not prepared in .*prepare cifar10 --source=DIR --data"):
        load("tfds:cifar10", root)
    with pytest.raises(UserError, match=r"prepare folder --source=DIR"):
        load("tfds:image_folder/mine", root)
    with pytest.raises(UserError, match=r"pip install tensorflow$"):
        load("tfds:svhn_cropped", root)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "elsewhere"))
    with pytest.raises(UserError, match="elsewhere"):
        load("tfds:mnist", "")

    info = root / "mnist/3.0.1/dataset_info.json"
    fields = json.loads(info.read_text())
    info.write_text(json.dumps({**fields, "fileFormat": "tfrecord"}))
    with pytest.raises(UserError, match=r"stored as tfrecord.*array_record"):
        load("tfds:mnist", root)


def test_damaged_idx(tmp_path, capsys):
    raw = tmp_path / "raw"
    write_mnist(raw)
    args = ["mnist", f"--source={raw}", f"--data_dir={tmp_path}/tfds"]
    fails(capsys, ["mnist", f"--source={tmp_path}/none", args[2]], "no such folder")

    labels = raw / "t10k-labels-idx1-ubyte"
    good = labels.read_bytes()
    for bad, word in ((good[:-1], "truncated"), (good[:3], "magic"), (b"PK" + good, "magic")):
        labels.write_bytes(bad)
        fails(capsys, args, labels.name, word)
    labels.write_bytes(good[:-1] + b"\x0a")
    fails(capsys, args, "labels go up to 10")
    write_idx(labels, np.zeros(11, np.uint8))
    fails(capsys, args, "(12, 28, 28)", "(11,)")
    labels.unlink()
    fails(capsys, args, f"; {labels.name} or")
    labels.with_suffix(".gz").write_bytes(gzip.compress(good)[:-4])
    fails(capsys, args, labels.name, "truncated")


def test_cifar10(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(raw_files, "CIFAR10_RECORDS", 4)
    raw = tmp_path / "cifar-10-batches-bin"
    raw.mkdir()
    random = np.random.default_rng(0)
    files = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    images = random.integers(256, size=(24, 32, 32, 3), dtype=np.uint8)
    labels = random.integers(10, size=24, dtype=np.uint8)
    for file, pixels, classes in zip(files, np.split(images, 6), np.split(labels, 6), strict=True):
        planes = pixels.transpose(0, 3, 1, 2).reshape(4, 3072)
        (raw / file).write_bytes(np.concatenate([classes[:, None], planes], axis=1).tobytes())

    root = tmp_path / "tfds"
    good = (raw / files[0]).read_bytes()
    args = ["cifar10", f"--source={raw}", f"--data_dir={root}"]
    (raw / files[0]).write_bytes(good[:-1])
    fails(capsys, args, files[0], "truncated")
    (raw / files[0]).write_bytes(b"\x0a" + good[1:])
    fails(capsys, args, "labels go up to 10")
    (raw / files[0]).unlink()
    fails(capsys, args, f"; {files[0]}")
    (raw / files[0]).write_bytes(good)

    parent = ["prepare", "cifar10", f"--source={tmp_path}", f"--data_dir={root}"]
    assert main(parent) == 0
    for split, part in (("train", slice(20)), ("test", slice(20, None))):
        data = everything(load("tfds:cifar10", root, split=split))
        assert by_content(data["image"], data["label"]) == by_content(images[part], labels[part])


def test_stl10(tmp_path, capsys):
    """Planes column by column, labels from 1, and -1 for images without one."""
    raw, root = tmp_path / "stl10_binary", tmp_path / "tfds"
    raw.mkdir()
    random = np.random.default_rng(0)
    images = random.integers(256, size=(6, 96, 96, 3), dtype=np.uint8)
    parts = {"train": slice(2), "test": slice(2, 3), "unlabeled": slice(3, None)}
    for split, part in parts.items():
        (raw / f"{split}_X.bin").write_bytes(images[part].transpose(0, 3, 2, 1).tobytes())
    args = ["stl10", f"--source={tmp_path}", f"--data_dir={root}"]
    fails(capsys, args, "train_y.bin of the binary version is needed")
    (raw / "train_y.bin").write_bytes(bytes([0, 10]))
    fails(capsys, args, "train_y.bin does not have 2 labels from 1 to 10")
    (raw / "train_y.bin").write_bytes(bytes([1, 10]))
    (raw / "test_y.bin").write_bytes(bytes([3, 3]))
    fails(capsys, args, "test_y.bin does not have 1 labels")
    (raw / "test_y.bin").write_bytes(bytes([3]))
    whole = (raw / "unlabeled_X.bin").read_bytes()
    (raw / "unlabeled_X.bin").write_bytes(whole[:-1])
    fails(capsys, args, "unlabeled_X.bin has 82943 bytes; a multiple of 27648")
    (raw / "unlabeled_X.bin").write_bytes(whole)
    assert not (root / "stl10").exists()

    assert main(["prepare", *args]) == 0
    labels = {"train": [0, 9], "test": [2], "unlabelled": [-1, -1, -1]}
    for (split, expected), part in zip(labels.items(), parts.values(), strict=True):
        data = everything(load("tfds:stl10", root, split=split))
        assert by_content(data["image"], data["label"]) == by_content(images[part], expected)


def test_image_folder(tmp_path, capsys):
    photos, root = tmp_path / "photos", tmp_path / "tfds"
    args = ["folder", f"--source={photos}", f"--data_dir={root}", "--name=mine", "--size=8"]
    fails(capsys, args, "no such folder")
    for name in ("cats/deep", "dogs"):
        (photos / name).mkdir(parents=True)
    fails(capsys, args, "images (.png", "are needed")

    Image.new("RGB", (16, 16), (10, 20, 30)).save(photos / "cats/deep/a.png")
    Image.new("L", (30, 8), 90).save(photos / "dogs/b.PNG")
    Image.new("RGB", (9, 20), (200, 0, 0)).save(photos / "dogs/c.jpeg", quality=95)
    broken = photos / "dogs/d.png"
    broken.write_bytes((photos / "cats/deep/a.png").read_bytes()[:40])
    fails(capsys, args, "dogs/d.png", "not a readable image")
    broken.unlink()
    fails(capsys, [*args[:3], "--name=a/b", "--size=8"], "--name is 'a/b'")
    fails(capsys, [*args[:3], "--name=ab", "--size=0"], "--size is 0")

    assert main(["prepare", *args]) == 0
    assert "tfds:image_folder/mine" in capsys.readouterr().out.splitlines()[-1]
    data = everything(load("tfds:image_folder/mine", root))
    assert data["image"].shape == (3, 8, 8, 3)
    means = {
        tuple(i.mean(axis=(0, 1)).round().astype(int)): label
        for i, label in zip(*data.values(), strict=True)
    }
    assert means.pop((10, 20, 30)) == 0 and means.pop((90, 90, 90)) == 1
    ((red, *_), label) = means.popitem()
    assert abs(red - 200) < 5 and label == 1
    assert load("tfds:image_folder", root).size == 3  # the only config there is
    assert main(["prepare", *args[:3], "--name=other", "--size=4"]) == 0
    with pytest.raises(UserError, match=r"tfds:image_folder/mine or tfds:image_folder/other"):
        load("tfds:image_folder", root)


@pytest.fixture(scope="module")
def real_mnist(tmp_path_factory, reference):
    """(the original files, the folder with what is made of them)."""
    raw, root = reference("data/mnist"), tmp_path_factory.mktemp("tfds")
    assert main(["prepare", "mnist", f"--source={raw}", f"--data_dir={root}"]) == 0
    return raw, root


@pytest.mark.slow
def test_real_mnist(real_mnist):
    raw, root = real_mnist
    source = load("tfds:mnist", root, split="test", image_size=32, fit="pad")
    data = everything(source)
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(data["label"]).tolist() == counts
    expected = raw_files.read_idx(raw, "t10k-images-idx3-ubyte", 3)
    labels = raw_files.read_idx(raw, "t10k-labels-idx1-ubyte", 1)
    inner = data["image"][:, 2:30, 2:30]
    assert by_content(inner, data["label"]) == by_content(expected, labels)
    assert load("tfds:mnist", root).size == 60_000


@pytest.mark.slow
def test_real_mnist_stacked_has_all_modes(real_mnist):
    source = load("stacked_mnist", real_mnist[1])
    assert source.size == 120_000 and source.shape == (32, 32, 3)
    chosen = (np.arange(i, i + 10_000) for i in range(0, source.size, 10_000))
    label = np.concatenate([source.take(part)["label"] for part in chosen])
    found = stacked_modes(np.stack([label // 100, label // 10 % 10, label % 10], axis=1))
    assert found.covered == 1000  # 120 examples each, if digits were equally frequent
    assert found.kl < 0.02


@pytest.mark.parametrize("damage", [False, True])
def test_nothing_is_left_in_the_folder_of_temporary_files(tmp_path, capfd, monkeypatch, damage):
    """Nor does TFDS print progress where there is no terminal, or warn of nothing."""
    write_mnist(tmp_path / "raw")
    if damage:
        (tmp_path / "raw" / "t10k-images-idx3-ubyte").write_bytes(b"")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    args = ["mnist", f"--source={tmp_path}/raw", f"--data_dir={tmp_path}/data"]
    assert main(["prepare", *args]) == damage
    assert not list((tmp_path / "tmp").iterdir())
    assert len(capfd.readouterr().err.splitlines()) == damage
