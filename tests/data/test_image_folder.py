"""Folders of images: formats, links, splits, classes, skipped files."""

import os

import numpy as np
import pytest
from data_files import everything, load, refused
from PIL import Image

from ddgan_jax.data.image_folder import scan_folder
from ddgan_jax.data.preparation import write_dataset


def picture(path, color=(10, 20, 30), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (8, 8), color).save(path, **options)
    return path


def write(source, root, **options):
    lines = []
    name, path = write_dataset(
        "folder", str(source), str(root), name="mine", size=8, say=lines.append, **options
    )
    (line,) = lines
    return name, path, line


def test_raster_formats(tmp_path):
    suffixes = ["png", "jpg", "webp", "bmp", "tif", "gif", "ppm", "jfif", "avif", "jp2", "PNG"]
    for suffix in suffixes:
        format = {"jfif": "JPEG", "tif": "TIFF"}.get(suffix)
        picture(tmp_path / "photos" / f"a.{suffix}", (200, 200, 200), format=format)
    name, _, line = write(tmp_path / "photos", tmp_path / "tfds")
    assert line == f"{len(suffixes)} images read"
    source = load(name, tmp_path / "tfds")
    assert source.size == len(suffixes) and not source.labeled and source.classes == ()
    assert np.abs(everything(source)["image"].astype(int) - 200).max() < 6


def test_skipped_files_are_counted(tmp_path):
    photos = tmp_path / "photos"
    picture(photos / "a/1.png")
    picture(photos / ".hidden/2.png")
    (photos / "a/notes.txt").write_text("")
    (photos / "b").mkdir()
    (photos / "b/more.TXT").write_text("")
    (photos / "a/broken.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(photos / "a/pipe.png")
    _, _, line = write(photos, tmp_path / "tfds")
    assert line.startswith("1 image read (1 class), 5 files skipped: 2 .txt")
    for word in ("1 hidden", "1 broken link", "1 special file"):
        assert word in line


def test_postscript_named_png_is_refused(tmp_path):
    photos = tmp_path / "photos"
    picture(photos / "a.png")
    (photos / "b.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    )
    refused(lambda: write(photos, tmp_path / "tfds"), "b.png", "not a readable image")


def test_links_to_class_folders_are_followed(tmp_path):
    picture(tmp_path / "elsewhere/1.png")
    photos = tmp_path / "photos"
    picture(photos / "dog/2.png")
    (photos / "cat").symlink_to(tmp_path / "elsewhere")
    folder = scan_folder(photos)
    assert folder.classes == ("cat", "dog") and len(folder.splits["train"]) == 2
    (tmp_path / "elsewhere/back").symlink_to(photos)
    refused(lambda: scan_folder(photos), "symbolic link", "cat/back")


def test_splits_and_classes(tmp_path):
    photos = tmp_path / "photos"
    colors = {"2": (20, 0, 0), "10": (100, 0, 0), "cat": (0, 50, 0)}
    for split in ("train", "Test", "valid"):
        for name, color in colors.items():
            picture(photos / split / name / "1.png", color)
    picture(photos / "train/cat/deep/2.png", colors["cat"])
    name, _, line = write(photos, tmp_path / "tfds")
    assert line == "10 images read (test 3, train 4, validation 3, 3 classes)"
    for split, size in (("train", 4), ("test", 3), ("validation", 3)):
        source = load(name, tmp_path / "tfds", split=split)
        assert source.size == size and source.classes == ("2", "10", "cat")
        examples = everything(source)
        for image, label in zip(examples["image"], examples["label"], strict=True):
            assert tuple(image[0, 0]) == colors[source.classes[label]]
    assert load(name, tmp_path / "tfds", split="all").size == 10


def test_two_folders_for_one_split(tmp_path):
    for folder in ("val", "validation", "train"):
        picture(tmp_path / folder / "cat/1.png")
    refused(lambda: scan_folder(tmp_path), "val and validation", "one of them")


def test_other_folders_beside_a_folder_that_may_name_a_split_make_classes(tmp_path):
    for folder in ("train", "car"):
        picture(tmp_path / folder / "1.png")
    folder = scan_folder(tmp_path)
    assert folder.classes == ("car", "train") and list(folder.splits) == ["train"]


@pytest.mark.parametrize("beside", ["extra/1.png", "cover.png"])
def test_nothing_else_beside_two_splits(tmp_path, beside):
    """Else test images would be trained on."""
    for path in ("train/1.png", "test/1.png", beside):
        picture(tmp_path / path)
    words = "extra" if beside.startswith("extra") else "single images"
    refused(lambda: scan_folder(tmp_path), "test and train name splits", words)


def test_loose_images_beside_class_folders(tmp_path):
    picture(tmp_path / "cat/1.png")
    picture(tmp_path / "2.png")
    assert scan_folder(tmp_path).classes == ("cat", "unsorted")


def test_names_that_cannot_be_stored(tmp_path):
    raw = os.fsencode(tmp_path)
    os.mkdir(raw + b"/caf\xe9")
    picture(tmp_path / "1.png").rename(os.fsdecode(raw + b"/caf\xe9/1.png"))
    refused(lambda: scan_folder(tmp_path), "caf\\xe9", "UTF-8")
    os.rename(raw + b"/caf\xe9", raw + b"/two\nlines")
    refused(lambda: scan_folder(tmp_path), "two\\nlines", "line breaks")


def test_background_of_transparent_images(tmp_path):
    picture(tmp_path / "photos/1.png", (0, 0, 0, 0), mode="RGBA")
    name, _, _ = write(tmp_path / "photos", tmp_path / "white")
    assert (everything(load(name, tmp_path / "white"))["image"] == 255).all()
    write(tmp_path / "photos", tmp_path / "blue", background="#0000ff")
    blue = everything(load(name, tmp_path / "blue"))["image"]
    assert (blue == [0, 0, 255]).all()
    refused(
        lambda: write(tmp_path / "photos", tmp_path / "x", background="blurple"),
        "--background is 'blurple'",
    )


@pytest.mark.parametrize("kind", ["folder", "mnist"])
def test_home_is_expanded(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("HOME", str(tmp_path))
    if kind == "folder":
        picture(tmp_path / "raw/1.png")
    else:
        from data_files import write_mnist

        write_mnist(tmp_path / "raw")
    name, path = write_dataset(kind, "~/raw", "~/tfds", name="mine", size=8)
    assert path.is_relative_to(tmp_path / "tfds")
    assert load(name, "~/tfds").size > 0


def test_enlarged_and_animated_images_are_counted(tmp_path):
    photos = tmp_path / "photos"
    for number in range(3):
        picture(photos / f"{number}.png")
    frames = [Image.new("RGB", (20, 20), (value, 0, 0)) for value in (10, 200)]
    frames[0].save(photos / "moving.gif", save_all=True, append_images=frames[1:])
    lines = []
    write_dataset("folder", str(photos), str(tmp_path), name="a", size=16, say=lines.append)
    assert lines == ["4 images read; 3 enlarged to 16 pixels; 1 animated (first frame read)"]
