"""Members from outside the package: `config.method = "my_module:my_method"` and the like.

A config may name a method, a network, a data source or a metric of the user's own code as
"module:attribute". Code runs only if the user asked for it: by naming a config file (its folder
becomes importable), by `--plugins=FOLDER`, or by importing the module beforehand. A run folder
never adds a folder by itself; it keeps a copy of the modules it used, and their hashes.
"""

import hashlib
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from ddgan_jax.core.errors import UserError, nearest

T = TypeVar("T")

_folders: list[Path] = []  # that the user named, the newest first
_used: dict[str, Path] = {}  # module -> file, of all members that were looked up


def allow(folder: str | Path) -> None:
    """Let members be imported from `folder`.

    Raises:
      UserError: there is no such folder.
    """
    resolved = Path(folder).expanduser().resolve()
    if not resolved.is_dir():
        raise UserError(f"--plugins={folder}: there is no such folder")
    if resolved not in _folders:
        _folders.insert(0, resolved)
        sys.path.insert(0, str(resolved))


def lookup(field: str, name: str, registry: Mapping[str, T], kind: type[T]) -> T:
    """The member of `registry` called `name`, or the one that "module:attribute" names.

    Args:
      field: of the config, for messages: "method", "gen.network".
      name: its value.
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
        raise UserError(
            f"config.{field} is {name!r}; {attribute!r} of {module} is {type(member).__name__}, "
            f"a {kind.__name__} is needed"
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
    try:
        loaded = importlib.import_module(module)
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UserError(f"config.{field} is {name!r}; {found[0]} fails: {reason}") from error
    _used[module] = found[0]
    return loaded


def used() -> dict[str, Path]:
    """The files of all members from outside that were looked up, by module."""
    return dict(_used)


def file_hash(path: Path) -> str:
    """First 16 hexadecimal digits of the sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
