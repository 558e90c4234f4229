"""`folder:PATH`: images of a folder or a zip file, decoded on demand."""

import os
import stat
import zipfile

import numpy as np
import pytest
import tiny_runs as runs
from data_files import everything, load, refused
from ml_collections import ConfigDict
from PIL import Image

from ddgan_jax import Trainer
from ddgan_jax.core.errors import UserError
from ddgan_jax.data import check_apart, stored_source, views
from ddgan_jax.inference.same_run import fingerprint


def picture(path, color=(10, 20, 30), size=(8, 8), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB" if isinstance(color, tuple) else "L", size, color).save(path, **options)
    return path


def packed(folder, file, below=""):
    """The folder as a zip file, in a folder `below`."""
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*"), reverse=True):
            if path.is_file():
                archive.write(path, f"{below}{path.relative_to(folder)}")
    return file


@pytest.fixture
def photos(tmp_path):
    """Three classes in two splits; the value of an image is its place in the sorted order."""
    folder = tmp_path / "my photos: 2024"
    for number, name in enumerate(("2/a.png", "2/b.png", "10/a.png", "cat/a.png")):
        picture(folder / "train" / name, (number, 0, 0))
    picture(folder / "test/cat/z.png", (9, 0, 0))
    (folder / "train/notes.txt").write_text("")
    return folder


@pytest.mark.parametrize("form", ["folder", "zip", "zip with a folder around"])
def test_splits_classes_order_and_the_line(photos, tmp_path, form):
    if form != "folder":
        below = "my photos/" if "around" in form else ""
        photos = packed(photos, tmp_path / "photos.zip", below)
    source = load(f"folder:{photos}")
    assert (source.size, source.shape, source.labeled) == (4, (8, 8, 3), True)
    assert source.classes == ("2", "10", "cat") and source.in_memory
    examples = everything(source)
    # Sorted by path: "10" comes before "2".
    assert examples["image"][:, 0, 0, 0].tolist() == [2, 0, 1, 3]
    assert examples["label"].tolist() == source.labels().tolist() == [1, 0, 0, 2]
    assert source.notes == ("5 images read (test 1, train 4, 3 classes), 1 file skipped: 1 .txt",)
    assert everything(load(f"folder:{photos}", split="test"))["image"][0, 0, 0, 0] == 9
    assert load(f"folder:{photos}", split="train[1:3]+test").size == 3
    refused(lambda: load(f"folder:{photos}", split="validation"), "config.data.split", "test")


def test_without_a_test_folder_it_says_what_evaluation_uses(tmp_path):
    picture(tmp_path / "photos/a.png")
    source = load(f"folder:{tmp_path}/photos")
    assert source.notes[0] == "1 image read" and not source.labeled
    assert "config.eval.split" in source.notes[1] and "train[90%:]" in source.notes[1]


def test_size_fit_and_channels(tmp_path):
    picture(tmp_path / "photos/1.png", 40, (8, 6))
    picture(tmp_path / "photos/2.jpg", 50, (6, 8))
    name = f"folder:{tmp_path}/photos"
    refused(lambda: load(name), "1.png has 6x8", "2.jpg 8x6", "config.data.image_size")
    assert load(name, image_size=4).shape == (4, 4, 1)  # all of them are gray
    small = load(name, image_size=4, channels=3)
    assert small.shape == (4, 4, 3) and "enlarged" not in small.notes[0]
    assert "2 enlarged to 16 pixels" in load(name, image_size=16).notes[0]
    undecoded = stored_source(ConfigDict({"name": name, "image_size": 4, "channels": 0}))
    assert undecoded.size == 2 and undecoded.shape == (4, 4, 1)
    padded = everything(load(name, image_size=10, fit="pad"))["image"]
    assert padded[0, 2, 1, 0] == 40 and padded[0, 1, 1, 0] == padded[0, 2, 0, 0] == 0
    refused(lambda: load(name, image_size=7, fit="pad"), "1.png", "config.data.fit")
    picture(tmp_path / "photos/3.png", (1, 2, 3))
    assert load(name, image_size=4).shape == (4, 4, 3)


def test_photos_stand_as_the_camera_was_held(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    image = Image.new("RGB", (8, 4))
    image.paste((200, 200, 200), (0, 0, 4, 4))
    (tmp_path / "photos").mkdir()
    image.save(tmp_path / "photos/a.jpg", exif=exif)
    pixels = everything(load(f"folder:{tmp_path}/photos"))["image"][0, ..., 0]
    assert pixels.shape == (8, 4) and pixels[:4].min() > 150 and pixels[4:].max() < 50
    exif[0x0112] = 9  # which means nothing
    image.save(tmp_path / "photos/a.jpg", exif=exif)
    assert load(f"folder:{tmp_path}/photos").shape == (4, 8, 3)


def test_large_jpegs_are_decoded_at_a_fraction_and_look_the_same(tmp_path):
    y, x = np.mgrid[:512, :512] / 511
    pixels = np.stack([255 * x, 255 * y, 127 * (x + y)], -1).astype(np.uint8)
    (tmp_path / "photos").mkdir()
    for suffix in ("jpg", "png"):
        Image.fromarray(pixels).save(tmp_path / f"photos/a.{suffix}")
    jpeg, png = everything(load(f"folder:{tmp_path}/photos", image_size=32))["image"].astype(int)
    assert np.abs(jpeg - png).max() <= 3


def test_home_spaces_and_colons(photos, monkeypatch):
    monkeypatch.setenv("HOME", str(photos.parent))
    assert load("folder:~/my photos: 2024").size == 4


def test_data_that_do_not_fit_are_decoded_whenever_they_are_read(photos, monkeypatch):
    monkeypatch.setattr(views, "MEMORY_LIMIT", 0)
    source = load(f"folder:{photos}")
    assert not source.in_memory and everything(source)["image"][0, 0, 0, 0] == 2
    first = fingerprint(source)
    picture(photos / "train/cat/a.png", (77, 0, 0))
    assert everything(source)["image"][3, 0, 0, 0] == 77
    # One of the images that are hashed would say so; names and sizes are hashed of all.
    monkeypatch.setattr("ddgan_jax.inference.same_run.SOME", 1)
    before = fingerprint(load(f"folder:{photos}"))
    with (photos / "train/2/b.png").open("ab") as file:
        file.write(b"more")
    after = fingerprint(load(f"folder:{photos}"))
    assert len({first, before, after}) == 3
    moved = photos.rename(photos.with_name("elsewhere"))
    assert fingerprint(load(f"folder:{moved}")) == after


@pytest.mark.slow
def test_a_folder_that_changed_since_the_run_began(tmp_path, capfd):
    for number in range(20):
        picture(tmp_path / f"photos/{number}.png", number)
    args = [*runs.TINY, f"--config.data.name=folder:{tmp_path}/photos", "--config.seed=3"]
    workdir = f"--workdir={tmp_path}/run"
    runs.ok(*args, workdir)
    out = capfd.readouterr().out
    assert "20 images read" in out and "there is no folder test" in out
    assert out.count("20 images are few") == 1
    moved = (tmp_path / "photos").rename(tmp_path / "moved")
    args[-2] = f"--config.data.name=folder:{moved}"
    runs.ok(*args, workdir, "--config.train.duration=9 steps")
    picture(moved / "7.png", 200)
    again = [*args, workdir, "--config.train.duration=10 steps"]
    runs.fails(capfd, again, "20 examples", "hash", "the same data")


@pytest.mark.parametrize("place", ["photos", "photos/run", "photos/../photos/a/b", "link/run"])
def test_a_run_folder_among_its_images(tmp_path, capfd, place):
    """Its pictures would become training images."""
    for number in range(20):
        picture(tmp_path / f"photos/{number}.png", number)
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    before = runs.listing(tmp_path)
    args = [*runs.TINY, f"--config.data.name=folder:{tmp_path}/photos"]
    runs.fails(capfd, [*args, f"--workdir={tmp_path}/{place}"], "is inside the images of config.d")
    assert runs.listing(tmp_path) == before


def test_a_trainer_names_its_argument(tmp_path):
    for number in range(20):
        picture(tmp_path / f"{number}.png", number)
    config = runs.config_of(*runs.TINY, f"--config.data.name=folder:{tmp_path}")
    with pytest.raises(UserError, match=r"^workdir=.*/run is inside the images of config\.data"):
        Trainer(config, workdir=tmp_path / "run")


def test_a_run_folder_beside_its_images(tmp_path):
    check_apart(f"folder:{tmp_path}/photos", tmp_path / "photos_run")
    check_apart(f"folder:{tmp_path}/photos/a", tmp_path / "photos")
    check_apart("digits", tmp_path)
    check_apart(f"npz:{tmp_path}/data.npz", tmp_path)


# --- damaged and hostile input ------------------------------------------------------------------


def test_missing_and_empty(tmp_path):
    refused(lambda: load(f"folder:{tmp_path}/nowhere"), "no such folder or zip file")
    refused(lambda: load("folder:"), "folder:PATH is needed")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/a.heic").write_bytes(b"")
    refused(lambda: load(f"folder:{tmp_path}/empty"), "images (.png", "1 .heic")
    os.mkfifo(tmp_path / "pipe.zip")
    refused(lambda: load(f"folder:{tmp_path}/pipe.zip"), "regular file")


def test_damaged_images_are_named(tmp_path):
    good = picture(tmp_path / "photos/a.jpg", size=(99, 99))
    data = good.read_bytes()
    for name, content in (
        ("b.jpg", data[: len(data) // 2]),
        ("c.jpg", b"no image"),
        ("d.png", b""),
    ):
        bad = tmp_path / "photos" / name
        bad.write_bytes(content)
        refused(lambda: load(f"folder:{tmp_path}/photos", image_size=8), name, "not a readable")
        file = packed(tmp_path / "photos", tmp_path / "photos.zip")
        refused(lambda file=file: load(f"folder:{file}", image_size=8), f"photos.zip/{name}")
        bad.unlink()


def test_links_out_of_the_folder(tmp_path):
    picture(tmp_path / "private/1.png")
    picture(tmp_path / "photos/cat/2.png")
    photos = tmp_path / "photos"
    (photos / "again.png").symlink_to(photos / "cat/2.png")  # inside: followed
    assert load(f"folder:{photos}").size == 2
    (tmp_path / "link").symlink_to(photos)  # named by the user
    assert load(f"folder:{tmp_path}/link").size == 2
    for target in ("private", "private/1.png"):
        link = photos / "out.png"
        link.symlink_to(tmp_path / target)
        refused(lambda: load(f"folder:{photos}"), "out.png", "link out of its folder")
        link.unlink()
    (photos / "cat/loop").symlink_to(photos)
    refused(lambda: load(f"folder:{photos}"), "symbolic link", "loops")


def archive(file, *members):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for info, data in members:
            made.writestr(info, data, zipfile.ZIP_DEFLATED)
    return file


@pytest.mark.parametrize(
    "name", ["/etc/a.png", "../a.png", "cat/../../a.png", "C:/a.png", "cat\\a.png"]
)
def test_members_that_leave_the_folder(tmp_path, name):
    image = picture(tmp_path / "a.png").read_bytes()
    file = archive(tmp_path / "a.zip", (name, image), ("b.png", image))
    refused(lambda: load(f"folder:{file}"), "a.zip", "relative paths")


def test_links_in_an_archive(tmp_path):
    link = zipfile.ZipInfo("a.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    file = archive(tmp_path / "a.zip", (link, "/etc/passwd"))
    refused(lambda: load(f"folder:{file}"), "'a.png' is a link")


def test_archives_that_expand_too_much(tmp_path):
    file = archive(tmp_path / "a.zip", ("a.png", bytes(40 * 2**20)))
    refused(lambda: load(f"folder:{file}"), "'a.png' expands from", "200 times")


def test_archives_with_a_false_size_or_a_password_or_damage(tmp_path):
    image = picture(tmp_path / "photos/a.png").read_bytes()
    original = packed(tmp_path / "photos", tmp_path / "b.zip").read_bytes()
    file, at = tmp_path / "c.zip", original.index(b"PK\x01\x02")

    def changed(start, value):
        file.write_bytes(original[:start] + value + original[start + len(value) :])
        return f"folder:{file}"

    refused(lambda: load(changed(at + 24, bytes([9, 0, 0, 0]))), "c.zip", "a.png")
    refused(lambda: load(changed(at + 8, b"\x01")), "encrypted")
    refused(lambda: load(changed(original.index(image) + 20, b"\xff")), "'a.png' is damaged")
    refused(lambda: load(changed(at, b"XXXX")), "not a readable zip file")
    file.write_bytes(original[:40])
    refused(lambda: load(f"folder:{file}"), "not a readable zip file")


def test_two_members_of_one_name(tmp_path):
    image = picture(tmp_path / "a.png").read_bytes()
    with pytest.warns(UserWarning, match="Duplicate"):
        file = archive(tmp_path / "a.zip", ("a.png", image), ("a.png", image))
    refused(lambda: load(f"folder:{file}"), "two members 'a.png'")
