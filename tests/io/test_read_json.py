"""Files of run folders that are damaged, hostile or no files at all end in one line."""

import json
import os

import numpy as np
import pytest
import tiny_runs as runs

from ddgan_jax.config import plugins
from ddgan_jax.config.stored import read_config
from ddgan_jax.core.errors import UserError
from ddgan_jax.inference import published
from ddgan_jax.interop import weight_files
from ddgan_jax.io import run_folder, storage
from ddgan_jax.io.read_json import POSITIVE, SHAPE, TABLE, read_json, read_lines
from ddgan_jax.spaces import autoencoder_folder

READERS = {
    "config.json": read_config,
    "info.json": published.converted,
    "scale.json": autoencoder_folder.read_scale,
    "plugins/hashes.json": lambda folder: plugins.changes(folder, {}),
}
BAD = {
    "not JSON": b"{",
    "not UTF-8": b'{"method": "\xff"}',
    "another type": b"[1]",
    "nested": b'{"a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "nested within the limit of the parser": b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}",
    "digits": b'{"scale": ' + b"9" * 5_000 + b"}",
    "no Unicode": b'{"method": "\\ud800"}',
    "large": b" " * (16 * 2**20 + 1),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("what", BAD)
def test_damaged_content(tmp_path, name, what):
    (tmp_path / "plugins").mkdir()
    (tmp_path / name).write_bytes(BAD[what])
    with pytest.raises(UserError, match=rf"{name} cannot be read") as caught:
        READERS[name](tmp_path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("what", ["pipe", "folder", "link to a device", "link out of the folder"])
def test_no_regular_file_of_the_folder(tmp_path, name, what):
    run = tmp_path / "run"
    path = run / name
    path.parent.mkdir(parents=True)
    (tmp_path / "outside").write_text('{"method": "ddgan", "scale": 1, "data": {"shape": [2]}}')
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if "device" in what else tmp_path / "outside")
    with pytest.raises(UserError, match=rf"{name} (cannot be read|is a link out of)"):
        READERS[name](run)


def test_fields_are_named(tmp_path):
    path = tmp_path / "a.json"

    def fails(text, match, **schema):
        path.write_text(text)
        with pytest.raises(UserError, match=match):
            read_json(path, **schema)

    shape = {"required": {"data.shape": SHAPE}}
    fails("{}", "a.json: data is missing; one to four", **shape)
    fails('{"data": 3}', "a.json: data is 3; a table is needed", **shape)
    fails('{"data": {"shape": "x"}}', 'data.shape is "x"; one to four positive', **shape)
    fails('{"data": {"shape": [1000000, 1000000]}}', "data.shape is", **shape)
    for value in ("0", "-1", "NaN", "Infinity", "true", '"1"', "null"):
        fails(f'{{"scale": {value}}}', "scale is .*; a positive", required={"scale": POSITIVE})
    fails('{"speed": 1}', "speed is 1; a table is needed", optional={"speed": TABLE})
    path.write_text('{"data": {"shape": [8, 8, 1]}}')
    assert read_json(path, **shape, optional={"speed": TABLE}) == {"data": {"shape": [8, 8, 1]}}


@pytest.mark.parametrize("name", ["a.b", "items", "update", "__class__", "", "\n", "1"])
def test_names_that_no_field_can_have(tmp_path, name, capfd):
    for config in ({"method": "gan", name: 1}, {"method": "gan", "train": {name: {"x": 1}}}):
        (tmp_path / "config.json").write_text(json.dumps(config))
        runs.fails(capfd, ["fields", f"--workdir={tmp_path}"], "config")


def test_lines_that_are_no_lines_are_skipped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    good = b'{"step": 1, "a": 2.5}\n'
    bad = [b"\0\0\n", b"\xff\n", b"[1]\n", b'{"step": "x"}\n', b'{"step": ' + b"[" * 9999 + b"\n"]
    path.write_bytes(good + b"".join(bad) + b'{"step": 2, "a": "text", "b": NaN}\n{"step": 3}')
    assert read_lines(path) == [{"step": 1, "a": 2.5}, {"step": 2}]
    assert read_lines(tmp_path / "none") == []


def test_links_out_of_a_run_folder_are_not_followed(tmp_path):
    run, victim = tmp_path / "run", tmp_path / "victim"
    run.mkdir()
    victim.mkdir()
    (victim / "a").write_text("before")
    for name in ("samples", "tensorboard", "checkpoints", "metrics.jsonl"):
        link = run / name
        link.symlink_to(victim)
        with pytest.raises(UserError, match=f"{name} is a link out of"):
            storage.check_links(run)
        link.unlink()
    storage.check_links(run)
    (run / ".lock").symlink_to(victim / "new")
    with pytest.raises((UserError, OSError)), storage.locked(run):
        pass
    assert [p.name for p in victim.iterdir()] == ["a"]


def test_writing_replaces_a_link_and_uses_new_names(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("before")
    folder = tmp_path / "run"
    folder.mkdir()
    # The names of temporary files of earlier versions.
    names = (".config.tmp.json", "..writable.tmp", ".writable", "config.json", "a.npz.partial")
    for name in names:
        (folder / name).symlink_to(victim)
    run_folder.check_writable("--out", folder)
    weight_files.write_npz(folder / "a.npz", {"a": np.zeros(3)})
    run_folder.write_atomically(folder / "config.json", "after")
    assert victim.read_text() == "before"
    assert (folder / "config.json").read_text() == "after"
    assert {path.name for path in folder.iterdir()} == {*names, "a.npz"}


def test_many_writers_of_one_file(tmp_path):
    path = tmp_path / "a.png"
    with run_folder.atomically(path) as one, run_folder.atomically(path) as two:
        assert one != two
        one.write_text("1")
        two.write_text("2")
    assert path.read_text() == "1" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("link", [False, True])
def test_only_regular_files_inside_are_copied(tmp_path, link):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    if link:
        (source / "deep" / "a").symlink_to(tmp_path / "secret")
    else:
        os.mkfifo(source / "deep" / "a")
    with pytest.raises(UserError, match=r"deep/a (is a link out of|cannot be copied)"):
        storage.copy_tree(source, tmp_path / "copy")
    (source / "deep" / "a").unlink()
    (source / "deep" / "loop").symlink_to(source)
    with pytest.raises(UserError, match="a link to a folder around it"):
        storage.copy_tree(source, tmp_path / "other")
