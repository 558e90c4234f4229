"""Runs in a model hub, with a stand-in for huggingface_hub whose repositories are local folders."""

import json
import shutil
import sys
import types

import jax
import numpy as np
import pytest
import tiny_runs as runs

import ddgan_jax
from ddgan_jax.core.errors import UserError
from ddgan_jax.interop.safetensors import read_safetensors
from ddgan_jax.io import hub
from ddgan_jax.io.storage import as_path

SHIPPED = runs.ROOT / "ddgan_jax" / "pretrained" / "ddgan_digits"
COMMITS = ("a" * 40, "b" * 40)


class RepositoryNotFoundError(Exception):
    """As in the library."""


class RevisionNotFoundError(Exception):
    """As in the library."""


class Hub:
    """The part of huggingface_hub that is used; a repository is a folder for each commit."""

    def __init__(self, folder):
        self.folder, self.calls = folder, []
        self.errors = types.SimpleNamespace(
            RepositoryNotFoundError=RepositoryNotFoundError,
            RevisionNotFoundError=RevisionNotFoundError,
        )
        self.branches = {"main": COMMITS[0]}

    def HfApi(self, library_name):
        return self

    def model_info(self, repository, revision):
        self.calls.append(("info", repository, revision))
        if not (self.folder / repository).is_dir():
            raise RepositoryNotFoundError("404\nwith lines")
        if revision not in (*self.branches, *COMMITS):
            raise RevisionNotFoundError
        return types.SimpleNamespace(sha=self.branches.get(revision, revision))

    def snapshot_download(
        self, repository, *, revision, local_dir, allow_patterns, ignore_patterns, **rest
    ):
        from fnmatch import fnmatch

        assert set(rest) == {"library_name"}  # no token: the library finds it
        self.calls.append(("download", repository, revision))
        source = self.folder / repository / revision
        for path in sorted(source.rglob("*")):
            name = path.relative_to(source).as_posix()
            wanted = any(fnmatch(name, each) for each in allow_patterns)
            if path.is_dir() or not wanted or any(fnmatch(name, e) for e in ignore_patterns):
                continue
            target = type(source)(local_dir) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target, follow_symlinks=False)
        (type(source)(local_dir) / ".cache").mkdir(parents=True)

    def create_repo(self, repository, *, private, exist_ok):
        self.calls.append(("create", repository, private, exist_ok))
        return f"page of {repository}"

    def upload_folder(self, *, repo_id, folder_path, commit_message, delete_patterns):
        assert "checkpoints/*" in delete_patterns
        shutil.copytree(folder_path, self.folder / repo_id / COMMITS[0])


@pytest.fixture
def library(tmp_path, monkeypatch):
    found = Hub(tmp_path / "hub")
    monkeypatch.setitem(sys.modules, "huggingface_hub", found)
    monkeypatch.setenv("DDGAN_CACHE", str(tmp_path / "cache"))
    return found


@pytest.fixture
def pushed(library):
    """The shipped run as USER/digits."""
    runs.ok("export", f"--workdir={SHIPPED}", "--push=user/digits", "--license=apache-2.0")
    return library.folder / "user" / "digits" / COMMITS[0]


def test_a_pushed_run_is_read_as_any_other(pushed, library, tmp_path, capfd):
    assert library.calls == [("create", "user/digits", False, True)]
    names = {path.name for path in pushed.iterdir()}
    assert {"README.md", "samples.png", "model.safetensors", "checkpoints"} <= names
    card = (pushed / "README.md").read_text()
    assert "license: apache-2.0" in card and 'load("hf://user/digits")' in card

    (pushed / "plugins").mkdir()
    (pushed / "plugins" / "evil.py").write_text("raise SystemExit")
    (pushed / "checkpoints" / "evil.py").write_text("raise SystemExit")
    model, local = ddgan_jax.load("hf://user/digits"), ddgan_jax.load(SHIPPED)
    key = jax.random.key(1)
    np.testing.assert_array_equal(model.sample(key, 4), local.sample(key, 4))
    [folder] = (tmp_path / "cache" / "hub" / "user--digits").iterdir()
    assert folder.name == COMMITS[0]
    kept = {path.name for path in folder.iterdir()}
    assert kept == {"config.json", "info.json", "metrics.jsonl", "checkpoints"}
    assert not list(folder.rglob("*.py"))

    runs.ok("sample", "--workdir=hf://user/digits", f"--out={tmp_path / 'o'}", "--num_images=2")
    assert (tmp_path / "o" / "samples.npz").is_file()
    downloads = [call for call in library.calls if call[0] == "download"]
    assert downloads == [("download", "user/digits", COMMITS[0])]  # once
    runs.fails(capfd, ["sample", "--workdir=hf://user/digits"], "needs --out=FOLDER")


def test_a_branch_is_looked_up_and_a_commit_is_not(pushed, library):
    shutil.copytree(pushed, pushed.parent / COMMITS[1])
    first = hub.downloaded("hf://user/digits")
    library.branches["main"] = COMMITS[1]
    assert hub.downloaded("hf://user/digits").name == COMMITS[1] != first.name
    library.calls.clear()
    assert hub.downloaded(f"hf://user/digits@{COMMITS[0]}") == first and library.calls == []


def test_what_is_downloaded_is_checked(pushed, library, tmp_path, capfd):
    sample = ["sample", "--workdir=hf://user/digits", f"--out={tmp_path / 'o'}"]
    secret = tmp_path / "secret"
    secret.write_text("{}")
    info = (pushed / "info.json").read_text()
    (pushed / "info.json").unlink()
    (pushed / "info.json").symlink_to(secret)
    runs.fails(capfd, sample, "info.json is a link out of")
    assert not list((tmp_path / "cache" / "hub" / "user--digits").iterdir())
    (pushed / "info.json").unlink()
    (pushed / "info.json").write_text(info)
    config = (pushed / "config.json").read_text()
    (pushed / "config.json").unlink()
    runs.fails(capfd, sample, "hf://user/digits has no config.json")
    (pushed / "config.json").write_text(config)
    array = max((pushed / "checkpoints").rglob("*"), key=lambda path: path.stat().st_size)
    content = bytearray(array.read_bytes())
    content[len(content) // 2] ^= 255
    array.write_bytes(bytes(content))
    runs.fails(capfd, sample, "is not what was saved")


def test_mistakes_are_one_line(library, tmp_path, capfd, monkeypatch):
    for name in ("hf://", "hf://user", "hf://a/b/c", "hf://a/..", "hf://a/b@", "hf://a/b@x y"):
        with pytest.raises(UserError, match=r"hf://USER/NAME or hf://USER/NAME@REVISION"):
            hub.parse_address(name)
    assert hub.parse_address("hf://a-b/c.d@v1") == ("a-b/c.d", "v1")
    assert hub.parse_address("hf://a/b") == ("a/b", "main")
    with pytest.raises(UserError, match="no such repository, or it is private"):
        ddgan_jax.load("hf://user/none")
    (library.folder / "user" / "x").mkdir(parents=True)
    with pytest.raises(UserError, match="hf://user/x@v9: the repository has no such revision"):
        ddgan_jax.load("hf://user/x@v9")
    with pytest.raises(UserError, match="is only read"):
        as_path("hf://user/x")
    runs.fails(capfd, ["train", "--workdir=hf://user/x"], "is only read")
    export = ["export", f"--workdir={SHIPPED}"]
    runs.fails(capfd, [*export, "--push=user"], "hf://USER/NAME")
    runs.fails(capfd, [*export, "--push=user/a", "--license=My own"], "--license is 'My own'")
    runs.fails(capfd, [*export, f"--out={tmp_path / 'o'}", "--license=mit"], "goes with --card")
    runs.fails(capfd, [*export, f"--out={tmp_path / 'o'}", "--private"], "--private goes with")

    def offline(repository, revision):
        raise ConnectionError("no\nnetwork")

    monkeypatch.setattr(library, "model_info", offline)
    with pytest.raises(UserError, match=r"^hf://user/x: no network$"):
        ddgan_jax.load("hf://user/x")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match="pip install huggingface_hub"):
        ddgan_jax.load("hf://user/x")


def test_weights_by_name_are_those_of_the_run(tmp_path):
    out = tmp_path / "out"
    runs.ok("export", f"--workdir={SHIPPED}", f"--out={out}", "--card")
    model, arrays = ddgan_jax.load(SHIPPED), read_safetensors(out / "model.safetensors")
    flat = {
        ".".join(key.key for key in path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(model.params)
    }
    assert arrays.keys() == flat.keys() and any(name.startswith("gen.") for name in arrays)
    for name, leaf in flat.items():
        np.testing.assert_array_equal(arrays[name], leaf)
    head = (out / "model.safetensors").read_bytes()[8:].partition(b"}}")[0] + b"}}"
    assert json.loads(head.split(b"}")[0] + b"}}")["__metadata__"] == {"format": "flax"}
    library = pytest.importorskip("safetensors.numpy")
    assert library.load_file(out / "model.safetensors").keys() == arrays.keys()
