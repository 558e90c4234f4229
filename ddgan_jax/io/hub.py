"""Run folders in a model hub: `hf://USER/NAME@REVISION` is downloaded to read it, or uploaded.

The package huggingface_hub does the transfer, with the token that its own login or environment has.
Only the files that a run folder has are downloaded, never code, into a folder of the cache for each
commit. There they are files like those of any run folder, with no links, and are checked as such
when they are read.
"""

import contextlib
import importlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ddgan_jax.core.errors import UserError
from ddgan_jax.io.cache import cache_folder
from ddgan_jax.io.storage import HUB, AnyPath, as_path, check_tree, printable

WANTED = (
    *("config.json", "info.json", "metrics.jsonl", "evaluation.json", "evaluation.jsonl"),
    *("checkpoints/*", "autoencoder/*"),
)
UNWANTED = ("*.py", "*.pyc", "*.so", "*.pkl", "*.pickle")
_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}")
_REVISION = re.compile(r"\w[\w./-]*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REASONS = {  # exceptions of huggingface_hub, the more special first
    "GatedRepoError": "the hub gives access on request only",
    "RepositoryNotFoundError": "there is no such repository, or it is private and the hub does not "
    "know you (hf auth login)",
    "RevisionNotFoundError": "the repository has no such revision",
    "LocalTokenNotFoundError": "the hub does not know you (hf auth login)",
}


class Address(NamedTuple):
    """A repository of the hub, USER/NAME, and a branch, tag or commit of it."""

    repository: str
    revision: str


def is_hub(name: str | AnyPath) -> bool:
    """Whether a name begins with `hf://`."""
    return str(name).startswith(HUB)


def parse_address(name: str) -> Address:
    """The repository and the revision of `hf://USER/NAME` or `hf://USER/NAME@REVISION`.

    Raises:
      UserError: the name has another form.
    """
    repository, at, revision = name.removeprefix(HUB).rstrip("/").partition("@")
    revision = revision if at else "main"
    if not (_NAME.fullmatch(repository) and _REVISION.fullmatch(revision)) or ".." in name:
        raise UserError(f"{printable(name)}: {HUB}USER/NAME or {HUB}USER/NAME@REVISION is needed")
    return Address(repository, revision)


def check_license(name: str) -> str:
    """An identifier of a license, such as apache-2.0 or cc-by-4.0; "" for none.

    Raises:
      UserError: another form.
    """
    if name and not _LICENSE.fullmatch(name):
        raise UserError(
            f"--license is {name!r}; an identifier such as apache-2.0 or cc-by-4.0 is needed"
        )
    return name


def run_path(name: str | AnyPath) -> AnyPath:
    """The path of a run folder that is only read; one of the hub is downloaded.

    Args:
      name: see `as_path`; or `hf://USER/NAME@REVISION`.

    Raises:
      UserError: it is empty; or see `as_path` and `downloaded`.
    """
    if name == "":
        raise UserError("the path of the run folder is empty; '.' is the current folder")
    return downloaded(str(name)) if is_hub(name) else as_path(name)


def downloaded(name: str) -> Path:
    """The folder of the cache with a run of the hub, which is downloaded unless it is there.

    Args:
      name: `hf://USER/NAME@REVISION`. A branch or tag is looked up each time, a commit is not.

    Raises:
      UserError: the name has another form, huggingface_hub is not installed, the hub cannot be
        reached or refuses, the repository is no run folder, or the cache cannot be written to.
    """
    address = parse_address(name)
    folder = cache_folder() / "hub" / address.repository.replace("/", "--")
    if _COMMIT.fullmatch(address.revision) and (folder / address.revision).is_dir():
        return folder / address.revision
    hub = _library(name)
    with _reported(name, hub):
        info = hub.HfApi(library_name="ddgan_jax").model_info(
            address.repository, revision=address.revision
        )
        commit = str(info.sha)
    if not _COMMIT.fullmatch(commit):
        raise UserError(f"{name}: the hub names the commit {printable(commit[:60])!r}")
    target = folder / commit
    if target.is_dir():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as temporary:
            partial = Path(temporary) / "run"
            _fetch(hub, name, address._replace(revision=commit), partial)
            try:
                partial.rename(target)
            except OSError:
                if not target.is_dir():  # else another process was faster
                    raise
    except OSError as error:
        raise UserError(f"{name}: {folder} cannot be written to: {error.strerror}") from error
    return target


def _fetch(hub: Any, name: str, address: Address, folder: Path) -> None:
    """Download the files of a run folder, and check that they are files of it."""
    with _reported(name, hub):
        hub.snapshot_download(
            address.repository,
            revision=address.revision,
            local_dir=str(folder),
            library_name="ddgan_jax",
            allow_patterns=list(WANTED),
            ignore_patterns=list(UNWANTED),
        )
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # notes of the library
    if not (folder / "config.json").is_file():
        raise UserError(f"{name} has no config.json; the repository of a run folder is needed")
    check_tree(folder, folder)


def uploaded(folder: Path, name: str, private: bool = False) -> str:
    """Upload a folder to a repository of the hub, which is made if it does not exist.

    Checkpoints and an autoencoder that the repository had are replaced; its other files stay.

    Args:
      folder: an exported run folder.
      name: USER/NAME.
      private: whether a new repository is private.

    Returns:
      The address of the page of the repository.

    Raises:
      UserError: the name has another form, huggingface_hub is not installed, or the hub cannot be
        reached or refuses.
    """
    address = parse_address(HUB + name)
    if "@" in name:
        raise UserError(f"--push={printable(name)} names a revision; USER/NAME is needed")
    hub = _library(f"--push={name}")
    with _reported(f"--push={name}", hub):
        api = hub.HfApi(library_name="ddgan_jax")
        page = api.create_repo(address.repository, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=address.repository,
            folder_path=str(folder),
            commit_message="A run of ddgan_jax",
            delete_patterns=["checkpoints/*", "autoencoder/*"],
        )
    return str(page)


def _library(what: str) -> Any:
    """The package huggingface_hub, told to report nothing.

    Raises:
      UserError: it is not installed.
    """
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise UserError(
            f"{what} needs the package huggingface_hub ({error}); pip install huggingface_hub "
            "installs it"
        ) from None


@contextlib.contextmanager
def _reported(what: str, hub: Any) -> Iterator[None]:
    """Turn any exception of the library into a `UserError` of one line."""
    try:
        yield
    except Exception as error:  # they have no common base class
        raise UserError(f"{what}: {_reason(error, hub)}") from error


def _reason(error: Exception, hub: Any) -> str:
    for name, words in _REASONS.items():
        kind = getattr(hub.errors, name, None)
        if isinstance(kind, type) and isinstance(error, kind):
            return words
    return " ".join(str(error).split())[:200] or type(error).__name__
