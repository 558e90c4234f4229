"""npz files that are checked before memory is allocated."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from data_files import everything, load, refused

from ddgan_jax.io import read_npz

IMAGES = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4)


def header(shape, dtype="|u1"):
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        out, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return out.getvalue()


def archive(path, data, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("images.npy", data)
    return path


class Harm:
    def __reduce__(self):
        return (os.mkdir, (os.environ["HARM"],))


@pytest.mark.parametrize(
    "shape", [(10**12, 4, 4), (10**30, 4), (2, 4, 4), (0, 10**18), (-1, 16), ()]
)
def test_shapes_that_the_file_does_not_hold(tmp_path, shape):
    path = archive(tmp_path / "a.npz", header(shape) + IMAGES.tobytes())
    refused(lambda: load(f"npz:{path}"), "a.npz", "images")


def test_objects_are_not_unpickled(tmp_path, monkeypatch):
    monkeypatch.setenv("HARM", str(tmp_path / "harm"))
    path = archive(tmp_path / "a.npz", header((1,), "|O") + pickle.dumps(Harm()))
    refused(lambda: load(f"npz:{path}"), "a.npz")
    np.savez(tmp_path / "b.npz", images=np.array([None, 3], object))
    refused(lambda: load(f"npz:{tmp_path}/b.npz"), "b.npz", "Python objects")
    assert not (tmp_path / "harm").exists()


def test_archives_that_expand_too_much(tmp_path):
    size = 300 * 2**20
    path = tmp_path / "bomb.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file,
        file.open("images.npy", "w") as member,
    ):
        member.write(header((size // 16, 4, 4)))
        for _ in range(300):
            member.write(bytes(2**20))
    refused(lambda: load(f"npz:{path}"), "bomb.npz", "expands from", "200 times")


def test_more_than_the_machine_has(tmp_path, monkeypatch):
    monkeypatch.setattr(read_npz, "machine_memory", lambda: 20)
    path = archive(tmp_path / "a.npz", header(IMAGES.shape) + IMAGES.tobytes())
    refused(lambda: load(f"npz:{path}"), "a.npz", "memory")


def test_encrypted_archives(tmp_path):
    path = archive(tmp_path / "a.npz", header(IMAGES.shape) + IMAGES.tobytes())
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)
    refused(lambda: load(f"npz:{path}"), "a.npz", "encrypted")


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")  # opening it would wait for ever
    for path in (tmp_path / "pipe.npz", "/dev/zero", tmp_path):
        refused(lambda path=path: load(f"npz:{path}"), str(path), "regular file")


def test_damage_in_the_compressed_data(tmp_path):
    path = archive(tmp_path / "a.npz", header(IMAGES.shape) + IMAGES.tobytes())
    data = bytearray(path.read_bytes())
    data[60:70] = bytes(10)
    path.write_bytes(data)
    refused(lambda: load(f"npz:{path}"), "a.npz", "not a readable npz file")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_good_files_and_home(tmp_path, monkeypatch, save):
    monkeypatch.setenv("HOME", str(tmp_path))
    save(tmp_path / "a.npz", images=np.asfortranarray(IMAGES), labels=np.array([2, 0, 1]))
    source = load("npz:~/a.npz")
    np.testing.assert_array_equal(everything(source)["image"][..., 0], IMAGES)
    assert source.labels().tolist() == [2, 0, 1] and source.labeled
    save(tmp_path / "b.npz", images=IMAGES)
    assert not load("npz:~/b.npz").labeled
