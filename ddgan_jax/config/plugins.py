"""Plug-ins: methods, networks, data and metrics from your own modules.

A config names them as "module:attribute". Their code runs only if the user asked for it: by naming
a config file (its folder becomes importable), by `--plugins=FOLDER`, or by importing the module
beforehand. Loading a run folder makes nothing importable; the folder keeps copies of the modules
that the run used, and their hashes.
"""

import hashlib
import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ml_collections import ConfigDict

from ddgan_jax.config.fields import flatten
from ddgan_jax.core.errors import UserError, described, nearest
from ddgan_jax.io.read_json import TEXTS, read_json
from ddgan_jax.io.run_folder import has_checkpoint, write_atomically
from ddgan_jax.io.storage import AnyPath, check_inside, local_path

T = TypeVar("T")

FOLDER, HASHES = "plugins", "hashes.json"  # in a run folder

_MOST_SOURCE = 16 * 2**20  # bytes

_folders: list[Path] = []  # that the user named, the newest first
_used: dict[str, Path] = {}  # module -> file, of all members that were looked up


def allow(folder: str | Path) -> None:
    """Let members be imported from `folder`.

    Raises:
      UserError: there is no such folder.
    """
    resolved = local_path(folder).resolve()
    if not resolved.is_dir():
        raise UserError(f"--plugins={folder}: there is no such folder")
    if resolved not in _folders:
        _folders.insert(0, resolved)
        sys.path.insert(0, str(resolved))


def check_source(name: str, path: Path) -> None:
    """Check that a file can be Python code, before it is read.

    Args:
      name: for messages.
      path: an existing file.

    Raises:
      UserError: it is too large.
    """
    size = path.stat().st_size
    if size > _MOST_SOURCE:
        raise UserError(f"{name} has {size:,} bytes; a Python file of at most 16 MiB is needed")


def lookup(field: str, name: str, registry: Mapping[str, T], kind: type[T]) -> T:
    """The member of `registry` called `name`, or the one that "module:attribute" names.

    Args:
      field: name of the config field, for messages: "method", "gen.network".
      name: value of the field.
      registry: the members that the package has.
      kind: what a member is an instance of.

    Raises:
      UserError: there is no such member, or the code may not be imported.
    """
    if isinstance(name, str) and name in registry:
        return registry[name]
    module, colon, attribute = str(name).partition(":")
    if not (isinstance(name, str) and colon and module.replace(".", "").isidentifier()):
        raise UserError(
            f"config.{field} is {name!r}; one of {', '.join(sorted(registry))}, or "
            f"'module:attribute' of your own code, is needed{nearest(str(name), registry)}"
        )
    member = getattr(_module(field, name, module), attribute, None)
    if not isinstance(member, kind):
        hint = "; move the code of a notebook or script to a file" * (module == "__main__")
        raise UserError(
            f"config.{field} is {name!r}; {attribute!r} of {module} is {type(member).__name__}, "
            f"a {kind.__name__} is needed{hint}"
        )
    return member


def _module(field: str, name: str, module: str) -> object:
    """The module, if it is imported already or lies in a folder that the user named."""
    relative = Path(*module.split("."))
    found = [
        path
        for folder in _folders
        for path in (folder / relative.with_suffix(".py"), folder / relative / "__init__.py")
        if path.is_file()
    ]
    if module in sys.modules:
        file = getattr(sys.modules[module], "__file__", None)
        if file:
            _used[module] = Path(file)
        return sys.modules[module]
    if not found:
        raise UserError(
            f"config.{field} is {name!r}, which is code outside of ddgan_jax; to run it, name the "
            f"folder that {module}.py lies in: --plugins=FOLDER (a run folder keeps a copy in its "
            "own plugins/), or load(..., plugins=FOLDER)"
        )
    check_source(f"config.{field} is {name!r}, whose file {found[0]}", found[0])
    try:
        loaded = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise UserError(
            f"config.{field} is {name!r}; {found[0]} fails: {described(error)}"
        ) from error
    _used[module] = found[0]
    return loaded


def used_by(config: ConfigDict) -> dict[str, Path]:
    """The files of the modules that a config names and that were looked up, by module.

    If there are some, all modules that were imported from the folders of the user are among them,
    since those that a config names may import others.
    """
    named = {part for value in flatten(config).values() for part in _modules(value)}
    files = {module: path for module, path in sorted(_used.items()) if module in named}
    return {**_imported(), **files} if files else {}


def _imported() -> dict[str, Path]:
    """The files of the modules that were imported from `_folders`, by module."""
    found = {}
    for module, value in sorted(sys.modules.items()):
        file, relative = getattr(value, "__file__", None), Path(*module.split("."))
        places = (relative.with_suffix(".py"), relative / "__init__.py")
        if file is None or module.partition(".")[0] == "ddgan_jax":  # a checkout is no plug-in
            continue
        if any(Path(file) == folder / at for folder in _folders for at in places):
            found[module] = Path(file)
    return found


def _modules(value: Any) -> Iterator[str]:
    if isinstance(value, str) and ":" in value:
        yield value.partition(":")[0]
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _modules(item)


def file_hash(path: Path) -> str:
    """First 16 hexadecimal digits of the sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def save_copies(workdir: AnyPath, config: ConfigDict) -> None:
    """Copy the modules of `used_by` into `plugins/` of a run folder, with their hashes.

    Copies that are there already, of the code that the run began with, are kept once there is a
    checkpoint.
    """
    hashes = _read_hashes(workdir) if has_checkpoint(workdir) else {}
    new = {name: path for name, path in used_by(config).items() if name not in hashes}
    if not new:
        return
    (workdir / FOLDER).mkdir(parents=True, exist_ok=True)
    for module, path in new.items():
        check_source(f"module {module!r}, whose file {path}", path)
        copy = workdir / FOLDER / module.replace(".", "/")
        copy = copy / path.name if path.name == "__init__.py" else copy.with_name(f"{copy.name}.py")
        check_inside(copy, workdir)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
        hashes[module] = file_hash(path)
    write_atomically(workdir / FOLDER / HASHES, json.dumps(hashes, indent=2) + "\n")


def changes(workdir: AnyPath, config: ConfigDict) -> list[str]:
    """The modules whose code differs from the one that a run began with, as lines."""
    hashes = _read_hashes(workdir)
    return [
        f"{path} is not the code that the run began with; its copy is in {workdir / FOLDER}"
        for module, path in used_by(config).items()
        if module in hashes and hashes[module] != file_hash(path)
    ]


def _read_hashes(workdir: AnyPath) -> dict[str, str]:
    try:
        found = read_json(workdir / FOLDER / HASHES, folder=workdir)
    except FileNotFoundError:
        return {}
    if not TEXTS.holds(found):
        raise UserError(f"{workdir / FOLDER / HASHES} cannot be read: {TEXTS.words} is needed")
    return found
