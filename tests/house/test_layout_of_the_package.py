"""The package's structure: import order between folders, files in the root, length of files."""

import ast
from pathlib import Path

import ddgan_jax

PACKAGE = Path(ddgan_jax.__file__).parent
# Every folder imports itself and folders before it.
ORDER = (
    *("core", "diffusion", "parallel", "io", "config", "plotting", "data", "networks", "interop"),
    *("metrics", "features", "spaces", "methods", "presets", "inference", "training", "profiling"),
    *("evaluation", "demo", "cli"),
)
# Earlier names of commands; a run folder; a link to the folder of config files.
ALIASES = ("convert", "pretrained", "configs")


def imports_of(path):
    """Names of the package's modules that a file imports, but for code of `__main__`."""
    tree = ast.parse(path.read_text())
    tree.body = [n for n in tree.body if not (isinstance(n, ast.If) and "__main__" in ast.dump(n))]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ddgan_jax"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("ddgan_jax"))


def test_imports_run_downward():
    upward = []
    for path in PACKAGE.rglob("*.py"):
        folder = path.relative_to(PACKAGE).parts[0]
        for name in imports_of(path) if folder in ORDER else ():
            target = name.split(".")[1] if "." in name else ""
            if target in ORDER and ORDER.index(target) > ORDER.index(folder):
                upward.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert not upward, "\n".join(upward)


def test_nobody_imports_main():
    for path in PACKAGE.rglob("*.py"):
        assert not any(n.startswith("ddgan_jax.main") for n in imports_of(path)), path


def test_the_root_is_small_and_every_folder_has_its_place():
    files = [p.name for p in PACKAGE.iterdir() if p.is_file()]
    assert len(files) <= 6, files
    folders = {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders == {*ORDER, *ALIASES}


def test_every_folder_says_what_it_is_for():
    for name in ORDER:
        text = ast.get_docstring(ast.parse((PACKAGE / name / "__init__.py").read_text()))
        assert text and len(text.splitlines()[0]) > 20, name


def test_no_file_is_long():
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, path


def test_files_of_tests_have_names_of_their_own():
    """pytest imports them by their names alone."""
    names = [path.name for path in Path(__file__).parents[1].rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
