"""The configs that come with the package, `--config=NAME` or `--config=NAME:VARIANT`.

They are the files of the folder `configs` of the project.
"""

import ast
from pathlib import Path

import ddgan_jax

FOLDER = Path(ddgan_jax.__file__).parent / "configs"


def packaged() -> dict[str, Path]:
    """Name -> config file."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.py"))}


def header(path: Path) -> str:
    """The text at the top of a config file: what it is, command, hardware, time, result."""
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def summary(path: Path) -> str:
    """The first sentence of the header of a config file, without its full stop."""
    first = header(path).split("\n\n")[0]
    return " ".join(first.split()).removesuffix(".")
