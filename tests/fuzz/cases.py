"""Generated bad input, by kind: each kind is a function that yields cases in a random order."""

import itertools
import json
import os
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz import mutate
from tests.fuzz.sandbox import OUTSIDE, Case
from tests.fuzz.seeds import CONFIGS, EVALUATION, SHORT, VALID, Seeds, runs

Random = random.Random
Kind = Callable[[Random, Seeds], Iterator[Case]]

NOT_UTF8 = os.fsdecode(b"bad\xffname")
LONG = "x" * 5000


def shuffled(rng: Random, *parts: Any) -> list[tuple]:
    """All combinations, in random order."""
    found = list(itertools.product(*parts))
    rng.shuffle(found)
    return found


def on_seed(
    seeds: Seeds, kind: str, title: str, valid: str, change: Callable[[Path], None], **rest: Any
) -> Case:
    """A valid command whose input was changed."""
    command = VALID[valid]

    def prepare(root: Path) -> None:
        seeds.copy(root, *command.seeds)
        change(root)

    args = rest.pop("args", command.args)
    rest.setdefault("writes", command.writes)
    return Case(kind, f"{valid}: {title}", args, prepare, valid=valid, **rest)


# --- the command line -----------------------------------------------------------------------------

_NO_INTEGERS = (
    *("", "x", "1e3", "nan", "1.5", "0x10", "--", "-9", "9" * 5000, "99999999999999999999", "1,2"),
    *("\n", "½", "None", " ", "1_", "+-1", NOT_UTF8, "0" * 5000 + "x"),
)
_NO_INPUTS = (
    *("nope", "nope/deep", NOT_UTF8, LONG, "/dev/zero", "/dev/null", "/proc/self/mem", "~nobody_/x"),
    *("gs:/bucket/x", "foo://x", "file:///etc", "gs://", "a\nb", "$HOME", "[seed*]", "{0}", "%s"),
    *("/proc/self/fd", "http://localhost/x", "npz:npz:npz", "<b>", "$\\frac{$", ":", ".", "/"),
)
_NO_OUTPUTS = (
    *(f"victim/precious.txt/{end}" for end in ("a", "a/b")),
    *("/proc/x", "/dev/null/x", "/sys/x", LONG, "foo://x", "gs:/x", "gs://x", NOT_UTF8, "~nobody_/x"),
)
_INPUTS = ("--workdir", "--config", "--checkpoint", "--source", "--vgg", "--heads", "--autoencoder",
           "--samples", "--data", "--runs", "--plugins", "samples", "configs")  # fmt: skip
_OUTPUTS = ("--out", "--export", "--data_dir")
_CHOICES = {"--source": "convert", "--bands": "", "--chip": "", "--part": "", "kind": ""}
_NEEDED = {  # command -> arguments that let a flag be reached
    "train": (*runs.TINY, "--workdir=out/run"),
    "sample": ("--workdir=run", "--out=out"),
    "evaluate": ("--workdir=run", "--out=out", *EVALUATION),
    "reconstruct": ("--workdir=dddg", "--out=out"),
    "compare": ("--runs=run,other", "--out=out"),
    "export": ("--workdir=run", "--out=out/copy"),
    "convert": ("--workdir=published", "--export=out/a.pth"),
    "prepare": ("folder", "--source=photos", "--name=photos", "--size=8", "--data_dir=out"),
    "benchmark": (runs.DIGITS,),
    "scaling": (runs.DIGITS,),
    "figures": ("--out=out",),
    "fields": (runs.DIGITS,),
    "digits": ("samples.npz",),
    "modes": ("points.npz",),
    "classifier": ("--data=digits", "--out=out/c.npz", "--steps=1"),
    "inception": ("--source=weights.pth", "--out=out/i.npz"),
    "lpips": ("--vgg=weights.pth", "--heads=weights.pth", "--out=out/l.npz"),
    "metrics_cost": ("--count=8", "--features=4", "--part=kid"),
}
_SEEDS = ("run", "other", "dddg", "published", "photos", "samples.npz", "points.npz", "weights.pth")


def flags(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Values of flags that are no values, for every flag of every command."""
    from ddgan_jax.cli import COMMANDS, parser_of

    options = []
    for command in COMMANDS:
        needed = _NEEDED[command]
        for action in parser_of(command)._actions:
            name = (action.option_strings or [action.dest])[-1]
            if name in ("--help", "--debug") or action.nargs == 0:
                continue
            bad: tuple[str, ...] = ("nonsense",) if name in _CHOICES else ()
            if action.type is not None and name not in _CHOICES:
                bad = _NO_INTEGERS
            elif name in _OUTPUTS and (command, name) != ("classifier", "--data_dir"):
                bad = _NO_OUTPUTS
            elif name in _INPUTS:
                bad = _NO_INPUTS
            elif name == "--coordinator":
                bad = ("x", ":1234", "host:", "host:99999", "h:x", "a\nb:1", LONG, "[::1", NOT_UTF8)
            elif not bad:
                bad = ("", "\0" if False else "nonsense", LONG, NOT_UTF8, "a\nb")
            for value in bad:
                options.append((command, name, value, needed))
    rng.shuffle(options)
    for command, name, value, needed in options:
        if (name, value) in (("--workdir", "."), ("--source", "/"), ("--source", "."), ("--plugins", "."),
                             ("--plugins", "/"), ("--plugins", "/proc/self/fd")):  # fmt: skip
            continue
        positional = not name.startswith("-")
        if positional:
            rest = [n for n in needed if n.startswith("--") and not n.startswith("--config=")]
            args = (command, value, *rest)
        else:
            args = (command, *(n for n in needed if n.partition("=")[0] != name), f"{name}={value}")
        optional = value == "" or name in ("--samples_split", "--split", "--name", "--background",
                                           "--bands", "--step", "--label", "--chip", "--autoencoder")  # fmt: skip
        needs = [s for s in _SEEDS if any(s in a for a in args)]
        yield Case(
            "flags",
            f"{command} {name}={value[:40]!r}",
            tuple(args),
            lambda root, needs=needs: seeds.copy(root, *needs),
            "any" if optional else "refused",
            (name.lstrip("-"), value[:20] or name, "--export" if command == "convert" else name),
            valid="resume",
        )


def command_lines(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Commands and flags that do not exist, are cut short, or contradict each other."""
    from ddgan_jax.cli import COMMANDS

    words = ("--nope", "--nope=1", "nope", "--config.", "--config.=3", "--config.x", "--workdir",
             "--", "-x", "-", "--mode=nope", "--mode", "--mode=", "--config.a.b.c=1",
             "--config.train=1", f"--{LONG}", NOT_UTF8, "a\nb", "--config.train.batch_size",
             "--config.method.x=1", "--config.=", "--config..=1", "--=", "@file", "--out")  # fmt: skip
    for command, word in shuffled(rng, COMMANDS, words):
        if command == "metrics_cost" and word in ("--config.", "-"):
            continue
        args = (command, *_NEEDED[command], word)
        needs = [s for s in _SEEDS if any(s in a for a in args)]
        yield Case(
            "command lines",
            f"{command} ... {word[:40]!r}",
            args,
            lambda root, needs=needs: seeds.copy(root, *needs),
            # More files are positional arguments of some commands.
            "any" if word in ("--",) else "refused",
            (word.partition("=")[0].lstrip("-")[:20] or "unknown", word[:10], "argument"),
        )


# --- fields of configs ----------------------------------------------------------------------------

_TEXTS: dict[type, tuple[str, ...]] = {
    bool: ("2", "maybe", "", "None", "yes\n", "nan"),
    int: ("-1", "0", "1", "100000000", "1000000000000", "9" * 30, "9" * 5000, "x", "", "nan", "1.5",
          "1e5", "true", "-9999999999999999999", "16384", "1000000", "10000000"),  # fmt: skip
    float: ("nan", "inf", "-inf", "1e308", "-1e308", "1e400", "x", "", "1e-320", "-1", "0", "1",
            "1e12", "1e30", "999", "9" * 5000, "0.999999999999", "1e-12", "true"),  # fmt: skip
    str: ("", "x", "a\nb", NOT_UTF8, "/dev/zero", "evil:Evil", LONG, "[", "../../x", "<b>", "nope:",
          ":", "evil", "os:system", "npz:/dev/zero", "tfds:../x", "1e308 steps", "1e13 epochs",
          "-1 steps", "0 epochs", "nan steps", "1e-300 images", "5", "npz:", "tfds:"),  # fmt: skip
    tuple: ("x", "nan", "-1", "1," * 5000, "9" * 30, "", "1e308", "0", "true", "1,x", "[[1]]", "inf"),
}


def _configs() -> Iterator[tuple[str, Any]]:
    """Every shipped config that is small, with its fields."""
    from ddgan_jax.config.overrides import load_config_file
    from ddgan_jax.methods import complete_config

    for name in sorted(path.name for path in CONFIGS.glob("*digits.py")) + ["ddgan_toy2d.py"]:
        yield name, complete_config(load_config_file(str(CONFIGS / name)))


def _as_value(text: str, old: Any) -> Any:
    """What an override stands for; None if it stands for no value of the field's type."""
    try:
        if isinstance(old, bool):
            return {"true": True, "1": True, "false": False, "0": False}.get(text.lower())
        if isinstance(old, int | float):
            return type(old)(text)
    except ValueError:
        return None
    return text if isinstance(old, str) else None


def _field_values() -> list[tuple[str, str, str, bool]]:
    """(config, field, text, whether the declared field accepts it)."""
    from ddgan_jax.config.fields import flatten
    from ddgan_jax.methods import fields_of

    found = []
    seen = set()
    for name, config in _configs():
        fields = fields_of(config)
        for field, old in flatten(config).items():
            kind = tuple if isinstance(old, tuple | list) else type(old)
            for text in _TEXTS[kind]:
                key = (field, text, config.method if field not in fields else "")
                if key in seen:
                    continue
                seen.add(key)
                value = _as_value(text, old)
                declared = fields.get(field)
                accepted = value is not None and (declared is None or declared.accepts(value))
                found.append((name, field, text, accepted or kind is tuple))
    return found


_BASE = {"train.duration": "1 steps", "train.batch_size": "16", "train.grid": "4"}


def _with_field(name: str, field: str, text: str) -> tuple[str, ...]:
    small = {**_BASE, **({} if "toy2d" in name or "autoencoder" in name else {
        f"{role}.{size}" : value for role in ("gen",) for size, value in
        (("width", "16"), ("blocks", "1")) })}  # fmt: skip
    small[field] = text
    changes = [f"--config.{key}={value}" for key, value in small.items()]
    return ("train", f"--config={CONFIGS}/{name}", *changes, "--workdir=out/run")


def refused_fields(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Values that declared fields do not accept, for every field of every method."""
    options = [option for option in _field_values() if not option[3]]
    rng.shuffle(options)
    for name, field, text, _ in options:
        yield Case(
            "fields of configs",
            f"{name} {field}={text[:40]!r}",
            _with_field(name, field, text),
            expect="refused",
            names=(field,),
            valid="train",
        )


def accepted_fields(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Extreme values that declared fields accept: refused later, or a step with finite numbers.

    Most are only traced (`scaling`); the others train a step.
    """
    options = [option for option in _field_values() if option[3]]
    rng.shuffle(options)
    for name, field, text, _ in options:
        if name.startswith("lddgan"):
            continue
        traced = "toy2d" not in name and rng.random() < 0.8
        args = _with_field(name, field, text)
        yield Case(
            "extreme values of fields",
            f"{'traced, ' if traced else ''}{name} {field}={text[:40]!r}",
            ("scaling", *args[1:-1]) if traced else args,
            expect="any",
            names=("config.",),
            valid="train",
        )


_CONFIG_FILES = {
    "does not parse": b"def get_config(:\n",
    "is binary": bytes(range(256)),
    "is not UTF-8": b"# \xff\ndef get_config(): pass\n",
    "has null bytes": b"x = '\0'\n",
    "raises": b"raise ValueError('a\\nb')\n",
    "raises a strange exception": b"class E(Exception):\n  def __str__(self): 1/0\nraise E()\n",
    "raises something with a long text": b"raise ValueError('x' * 10**6)\n",
    "exits": b"import sys\nsys.exit(0)\n",
    "is endless recursion": b"def f(): return f()\nf()\n",
    "raises KeyError": b"{}['x']\n",
    "imports what is not there": b"import nope_nope\n",
    "has an empty file": b"",
    "defines get_config as a number": b"get_config = 3\n",
    "returns None": b"def get_config(): return None\n",
    "returns a dict": b"def get_config(): return {}\n",
    "returns a class": b"def get_config(): return int\n",
    "needs an argument": b"def get_config(a, b): return a\n",
    "returns an empty config": b"import ml_collections\n"
    b"def get_config(): return ml_collections.ConfigDict()\n",
    "nests 500 deep": b"import ml_collections as m\ndef get_config():\n  c = m.ConfigDict()\n  d = c\n"
    b"  for i in range(500):\n    d.a = m.ConfigDict()\n    d = d.a\n  return c\n",
    "is nested": b"def get_config(): " + b"(" * 150 + b"1" + b")" * 150,
    "asserts": b"assert False\n",
    "raises UserError": b"from ddgan_jax.core.errors import UserError\nraise UserError('x\\ny')\n",
    "raises MemoryError": b"raise MemoryError()\n",
    "raises OSError": b"raise OSError(2, 'x', 'y')\n",
    "warns": b"import warnings\nwarnings.warn('w')\n",
}
_FIELD_VALUES = ("None", "[]", "{}", "object()", "lambda: 1", "b'x'", "1j", "float('nan')", "10**400",
                 "-1", "''", "'x'", "[[1]]", "('a', 1)", "range(3)", "type", "1e308", "True",
                 "__import__('numpy').zeros(3)", "ml_collections.ConfigDict({'a': 1})",
                 "ml_collections.FieldReference(3)", "[None]", "{1: 2}", "'\\ud800'")  # fmt: skip


def config_files(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Config files that are no config files, and fields with values of wrong types."""
    from ddgan_jax.config.fields import flatten

    commands = {
        "train": ("train", "--config=c.py", *SHORT),
        "fields": ("fields", "--config=c.py"),
        "scaling": ("scaling", "c.py"),
        "benchmark": ("benchmark", "--config=c.py"),
        "figures": ("figures", "--config=c.py", "--out=out"),
        "evaluate": ("evaluate", "--config=c.py", "--samples=digits", "--out=out"),
    }
    first = [
        Case(
            "config files",
            f"{command}: {what}",
            args,
            lambda root, content=content: _write(root / "c.py", content),
            "refused",
            ("c.py", "config"),
            writes=("out", "__pycache__"),
        )
        for (command, args), (what, content) in shuffled(
            rng, commands.items(), _CONFIG_FILES.items()
        )
    ] + [
        Case(
            "config files",
            f"{command}: {what}",
            args,
            lambda root, what=what: mutate.PLACES[what](root / "c.py"),
            "refused",
            ("c.py", "config"),
            writes=("out", "__pycache__"),
        )
        for (command, args), what in shuffled(rng, commands.items(), mutate.PLACES)
    ]
    rng.shuffle(first)
    fields = [
        (name, field)
        for name, config in _configs()
        if not name.startswith("lddgan")
        for field in flatten(config)
    ]
    template = (
        "import ml_collections\nfrom ddgan_jax.config.overrides import load_config_file\n"
        "def get_config():\n  c = load_config_file({file!r})\n  with c.unlocked(), "
        "c.ignore_type():\n    c.{field} = {value}\n    c.train.duration = '1 steps'\n  return c\n"
    )
    second = shuffled(rng, fields, _FIELD_VALUES)
    for case, ((name, field), value) in itertools.zip_longest(first, second[: 3 * len(first)],
                                                              fillvalue=None) if False else itertools.zip_longest(first, second[: len(first)]):  # fmt: skip
        if case is not None:
            yield case
        if field == "train.duration":
            continue
        content = template.format(file=str(CONFIGS / name), field=field, value=value).encode()
        yield Case(
            "config files",
            f"train: {name} {field} = {value}",
            ("train", "--config=c.py", *SHORT[1:]),
            lambda root, content=content: _write(root / "c.py", content),
            "any",
            ("c.py", "config"),
            valid="train",
            writes=("out", "__pycache__"),
        )


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


# --- run folders ----------------------------------------------------------------------------------

_READERS = {  # valid command -> the folder that it reads
    "sample": "run",
    "evaluate": "run",
    "export": "run",
    "resume": "run",
    "fields": "run",
    "figures": "run",
    "compare": "run",
    "reconstruct": "dddg",
    "sample latents": "latent",
    "to PyTorch": "published",
    "train in latents": "ae",
    "plug-in": "plugged",
}


_SLOW = ("evaluate", "resume", "figures", "reconstruct", "train in latents")  # seconds each


def _reader(rng: Random, readers: Iterable[str] = tuple(_READERS)) -> str:
    """One of the commands that read run folders; the slow ones less often."""
    readers = list(readers)
    return rng.choices(readers, [0.2 if name in _SLOW else 1 for name in readers])[0]


def _json_files(folder: Path) -> list[str]:
    names = (path.relative_to(folder) for path in sorted(folder.rglob("*.json")))
    return [str(name) for name in names if "checkpoints" not in name.parts]


def run_metadata(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """One value of a JSON file of a run folder changed, for every command that reads it."""
    while True:
        valid = _reader(rng)
        folder = _READERS[valid]
        name = rng.choice(_json_files(seeds.get(folder)))
        text = (seeds.get(folder) / name).read_text()
        title, content, path, new = mutate.of_json(rng, text)
        # Every value of a config is checked; one that is missing gets its default. A value of the
        # right type may be another valid setting.
        yield on_seed(
            seeds,
            "JSON files of run folders",
            f"{name}: {title}",
            valid,
            lambda root, f=folder, n=name, c=content: _write(root / f / n, c),
            expect="any",
            names=(name.rpartition("/")[2], "config.", "autoencoder", "--runs", "plugins"),
        )


def run_bytes(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Bytes of any text file of a run folder changed."""
    while True:
        valid = _reader(rng)
        folder = seeds.get(_READERS[valid])
        files = [
            p.relative_to(folder)
            for p in sorted(folder.rglob("*"))
            if p.is_file() and "checkpoints" not in p.parts
        ]
        name = rng.choice(files)
        title, content = mutate.of_bytes(rng, (folder / name).read_bytes())
        yield on_seed(
            seeds,
            "bytes of files of run folders",
            f"{name}: {title}",
            valid,
            lambda root, f=folder.name, n=name, c=content: _write(root / f / n, c),
            # Logs may lose lines, and names and sizes in a config may become other valid ones.
            expect="any",
            names=(str(name).rpartition("/")[2], "config.", "--runs", "info.json", "plugins"),
        )


def checkpoints(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Bytes of a checkpoint changed, a file of it removed, or its step renamed."""
    readers = [name for name in _READERS if name not in ("fields", "compare")]
    while True:
        valid = _reader(rng, readers)
        folder = seeds.get(_READERS[valid])
        newest = max(folder.glob("**/checkpoints/*"), key=lambda p: int(p.name))
        files = [p.relative_to(folder) for p in sorted(newest.rglob("*")) if p.is_file()]
        name = rng.choice(files)
        data = (folder / name).read_bytes()
        if rng.random() < 0.2 or not data:
            title = "removed"

            def change(root: Path, f=folder.name, n=name) -> None:
                (root / f / n).unlink()
        else:
            title, content = mutate.of_bytes(rng, data)

            def change(root: Path, f=folder.name, n=name, c=content) -> None:
                _write(root / f / n, c)

        yield on_seed(
            seeds,
            "files of checkpoints",
            f"{name}: {title}",
            valid,
            change,
            # A resumed run may use the checkpoint before, with its own, equal result.
            expect="either",
            names=("checkpoint",),
        )


def run_places(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Something else in the place of any file or folder of a run folder."""
    while True:
        valid = _reader(rng)
        folder = seeds.get(_READERS[valid])
        found = [
            p.relative_to(folder)
            for p in sorted(folder.rglob("*"))
            if len(p.relative_to(folder).parts) < 5
        ]
        name = rng.choice(found)
        what = rng.choice(list(mutate.PLACES))

        def change(root: Path, f=folder.name, n=name, w=what) -> None:
            mutate.put(w, root / f / n)

        yield on_seed(
            seeds,
            "things in the place of files of run folders",
            f"{name}: {what}",
            valid,
            change,
            expect="any",
            names=(str(name).split("/")[0], name.name, folder.name),
        )


def run_links(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Links out of a run folder, at any depth, with the same content or a precious file there."""
    while True:
        valid = _reader(rng)
        folder = seeds.get(_READERS[valid])
        found = [p.relative_to(folder) for p in sorted(folder.rglob("*"))]
        name = rng.choice(found)
        to_precious = rng.random() < 0.5

        def change(root: Path, f=folder.name, n=name, precious=to_precious) -> None:
            path = root / f / n
            if precious:
                target = root / OUTSIDE / ("deep" if path.is_dir() else "precious.txt")
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            else:
                target = root / "in" / "moved"
                path.rename(target)
            path.symlink_to(target)

        yield on_seed(
            seeds,
            "links out of run folders",
            f"{name} -> {'a precious file' if to_precious else 'what it was'}",
            valid,
            change,
            expect="any",  # what the command does not read may be a link
            names=(str(name).split("/")[0], name.name, folder.name),
        )


def temporary_links(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Links in an output folder, under names that are going to be written."""
    names = {
        "sample": ("samples.png", "samples.npz", ".writable"),
        "evaluate": ("evaluation.json", ".writable"),
        "compare": ("index.html", "comparison.md", "losses_over_images.png"),
        "figures": ("denoising_density.png", "path.png"),
        "reconstruct": ("reconstruction.json", "path.png", "latents.npz"),
        "prepare folder": ("photos", "photos.incomplete"),
        "to PyTorch": ("n.pth", "n.pth.partial"),
        "inception": ("inception.npz", "inception.npz.partial"),
    }
    for valid, kind in shuffled(rng, names, ("file", "folder", "broken", "loop")):
        for name in names[valid]:

            def change(root: Path, n=name, k=kind) -> None:
                (root / "out").mkdir()
                target = {"file": "precious.txt", "folder": "deep", "broken": "new", "loop": n}[k]
                base = root / "out" if k == "loop" else root / OUTSIDE
                (root / "out" / n).symlink_to(base / target)

            yield on_seed(
                seeds,
                "links in output folders",
                f"{name} is a link ({kind})",
                valid,
                change,
                expect="any",
                names=("out", "weights.pth"),
            )


_SAMPLE_PLACES = ("samples", "samples/samples.png", "metrics.jsonl", "evaluation.jsonl")


def comparisons(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Hostile texts and numbers in the files that `compare` puts on its page."""
    files = ("evaluation.json", "evaluation.jsonl", "metrics.jsonl", "info.json", "config.json")
    while True:
        name = rng.choice(files)
        text = (seeds.get("run") / name).read_text()
        if name.endswith("jsonl"):
            lines = text.splitlines()
            which = rng.randrange(len(lines))
            title, content, *_ = mutate.of_json(rng, lines[which])
            lines[which] = content.decode("utf-8", "replace").replace("\n", " ")
            content = ("\n".join(lines * rng.choice((1, 1, 50))) + "\n").encode()
        else:
            title, content, *_ = mutate.of_json(rng, text)
        folder = rng.choice(("run", "$\\frac{$", "<script>", "a|b`c", "a\nb", "_seed1", NOT_UTF8))

        def change(root: Path, n=name, c=content, f=folder) -> None:
            _write(root / "run" / n, c)
            if f != "run":
                (root / "run").rename(root / f)

        yield on_seed(
            seeds,
            "pages that compare runs",
            f"{folder!r} {name}: {title}",
            "compare",
            change,
            args=("compare", f"--runs={folder},other", "--out=out"),
            expect="any",
            names=(name, "config.", "--runs", "name in UTF-8"),
        )


# --- data -----------------------------------------------------------------------------------------

_NPZ = {
    "train npz": "data.npz",
    "evaluate npz": "data.npz",
    "digits": "samples.npz",
    "modes": "points.npz",
    "own classifier": "classifier.npz",
}


def npz_arrays(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Arrays of absurd shapes and types in npz files, for every command that reads one."""
    for valid, what in shuffled(rng, _NPZ, mutate.BAD_ARRAYS):
        file = _NPZ[valid]
        if valid == "modes" and what in ("of 1e300",):
            continue  # points may be anywhere

        def change(root: Path, f=file, w=what) -> None:
            inside = mutate.members(root / f)
            inside[next(iter(inside))] = mutate.BAD_ARRAYS[w]()
            mutate.npz_with(root / f, inside)

        yield on_seed(
            seeds, "arrays in npz files", f"{file}: an array {what}", valid, change,
            expect="refused", names=(file,),
        )  # fmt: skip


def npz_labels(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Labels that do not fit the images."""
    labels = {
        "-1": np.full(64, -1),
        "too few": np.zeros(63, int),
        "too many dimensions": np.zeros((64, 2), int),
        "1.5": np.full(64, 1.5),
        "NaN": np.full(64, np.nan),
        "2^40": np.full(64, 2**40),
        "10": np.arange(64) % 11,
        "texts": np.array(["a"] * 64),
        "dates": np.zeros(64, "M8[s]"),
        "one -1": np.where(np.arange(64) == 63, -1, 0),
        "2^63": np.full(64, 2**63, np.uint64),
    }
    for what in shuffled(rng, labels):

        def change(root: Path, w=what[0]) -> None:
            with np.load(root / "data.npz") as arrays:
                images = arrays["images"]
            np.savez(root / "data.npz", images=images, labels=labels[w])

        args = (*VALID["train npz"].args, "--config.classes=10")
        yield on_seed(
            seeds, "labels", f"labels {what[0]}", "train npz", change, args=args,
            expect="refused", names=("data.npz",),
        )  # fmt: skip


def npz_bytes(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Bytes of npz files changed; zip has a checksum, so the result is the same or refused."""
    while True:
        valid = rng.choice(list(_NPZ))
        file = _NPZ[valid]
        title, content = mutate.of_bytes(rng, seeds.get(file).read_bytes())
        yield on_seed(
            seeds, "bytes of npz files", title, valid,
            lambda root, f=file, c=content: _write(root / f, c), expect="either", names=(file,),
        )  # fmt: skip


def archives(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Zip bombs, encrypted members, sizes that are not true, and things in the place of npz files."""
    ways: dict[str, Callable[[Path], None]] = {
        "a zip bomb": lambda path: mutate.zip_bomb(path, _first(path)),
        "encrypted": mutate.encrypted,
        "a member of 4 GiB that is not there": lambda path: mutate.lying_size(path, 2**32 - 2),
        "a member of no bytes": lambda path: mutate.lying_size(path, 0),
        "twice the same member": _twice,
        "no members": lambda path: mutate.npz_with(path, {}),
        "other members": lambda path: mutate.npz_with(path, {"a.npy": b"", "../../evil.py": b"x"}),
        "a text": lambda path: path.write_text("no archive"),
        "a gzip file": lambda path: path.write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\x03"),
        "an npy file": lambda path: path.write_bytes(mutate.BAD_ARRAYS["of objects"]()),
        **{what: lambda path, w=what: mutate.put(w, path) for what in mutate.PLACES},
    }
    for valid, what in shuffled(rng, _NPZ, ways):
        file = _NPZ[valid]
        yield on_seed(
            seeds, "archives", f"{file}: {what}", valid,
            lambda root, f=file, w=what: ways[w](root / f),
            expect="any" if what == "twice the same member" else "refused", names=(file,),
        )  # fmt: skip


def _first(path: Path) -> str:
    return next(iter(mutate.members(path)))


def _twice(path: Path) -> None:
    import warnings

    inside = mutate.members(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import zipfile

        with zipfile.ZipFile(path, "w") as archive:
            for _ in range(2):
                for name, content in inside.items():
                    archive.writestr(name, content)


def _version_folder(root: Path) -> Path:
    return next((root / "prepared").glob("image_folder/photos/*"))


def prepared_metadata(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """One value of the metadata of a prepared data set changed."""
    names = ("features.json", "dataset_info.json")
    folder = _version_folder(seeds.get("prepared").parent)
    while True:
        name = rng.choice(names)
        title, content, path, new = mutate.of_json(rng, (folder / name).read_text())
        yield on_seed(
            seeds, "metadata of prepared data", f"{name}: {title}", "train tfds",
            lambda root, n=name, c=content: _write(_version_folder(root) / n, c),
            expect="any", names=(name, "prepared", "photos", "shard", "tfds:"),
        )  # fmt: skip


def prepared_files(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Bytes of shards and metadata changed, removed, or something else in their place."""
    folder = _version_folder(seeds.get("prepared").parent)
    files = [path.name for path in sorted(folder.iterdir())]
    while True:
        name = rng.choice(files)
        if rng.random() < 0.3:
            title = rng.choice(list(mutate.PLACES))

            def change(root: Path, n=name, w=title) -> None:
                mutate.put(w, _version_folder(root) / n)
        elif rng.random() < 0.1:
            title = "removed"

            def change(root: Path, n=name) -> None:
                (_version_folder(root) / n).unlink()
        else:
            title, content = mutate.of_bytes(rng, (folder / name).read_bytes())

            def change(root: Path, n=name, c=content) -> None:
                _write(_version_folder(root) / n, c)

        shard = "array_record" in name
        yield on_seed(
            seeds, "files of prepared data", f"{name}: {title}", "train tfds", change,
            expect="either" if shard else "any", names=(name, "prepared", "photos", "tfds:"),
        )  # fmt: skip


def torch_files(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """PyTorch files whose bytes were changed, and hostile pickles."""
    import io
    import pickle
    import zipfile

    def pickled(path: Path, data: bytes) -> None:
        inside = mutate.members(path)
        inside["weights/data.pkl"] = data
        mutate.npz_with(path, inside)

    deep = b"\x80\x02" + b"(" * 1 + b")" + b"\x85" * 10**6 + b"."
    evil = pickle.dumps(mutate._Evil(), protocol=2)
    ways: dict[str, Callable[[Path], None]] = {
        "a pickle of a million tuples": lambda path: pickled(path, deep),
        "a pickle that runs code": lambda path: pickled(path, evil),
        "a plain pickle that runs code": lambda path: path.write_bytes(evil),
        "an empty pickle": lambda path: pickled(path, b""),
        "a pickle of a number": lambda path: pickled(path, pickle.dumps(3)),
        "a pickle of a text of 100 MB": lambda path: pickled(path, pickle.dumps("x" * 10**8)),
        "a pickle with a memo of 2^31": lambda path: pickled(path, b"\x80\x02Kr" + b"r\xff\xff\xff\x7f."),
        "a pickle that refers to itself": lambda path: pickled(path, b"\x80\x02]q\0h\0a."),
        "a pickle of os.system": lambda path: pickled(path, b"cos\nsystem\n(S'touch victim/executed'\ntR."),
        "a pickle of an attribute": lambda path: pickled(path, b"cbuiltins\ngetattr\n."),
        "a long integer": lambda path: pickled(path, b"\x80\x02\x8b\xff\xff\xff\x7f" + b"x" * 99 + b"."),
        "4 GiB of text": lambda path: pickled(path, b"\x80\x04\x8d" + b"\xff" * 8 + b"x."),
        "encrypted": mutate.encrypted,
        "a member of 4 GiB that is not there": lambda path: mutate.lying_size(path, 2**32 - 2),
        "a zip bomb": lambda path: mutate.zip_bomb(path, "weights/data.pkl"),
        "no members": lambda path: mutate.npz_with(path, {}),
        **{what: lambda path, w=what: mutate.put(w, path) for what in mutate.PLACES},
    }
    enumerated = shuffled(rng, ("from PyTorch", "inception", "lpips"), ways)
    data = seeds.get("weights.pth").read_bytes()
    stream = (seeds.folder / "seeds" / "stream.pth").read_bytes()
    while True:
        if enumerated and rng.random() < 0.6:
            valid, what = enumerated.pop()
            yield on_seed(
                seeds, "PyTorch files", what, valid,
                lambda root, w=what: ways[w](root / "weights.pth"), names=("weights.pth",),
            )  # fmt: skip
            continue
        valid = rng.choice(("from PyTorch", "from PyTorch", "inception", "lpips"))
        old = rng.random() < 0.5
        if rng.random() < 0.6:  # bytes of the pickle, which is a small part
            if old:
                end = stream.index(b"storage") + 4000
                title, head = mutate.of_bytes(rng, stream[:end])
                content = head + stream[end:]
            else:
                with zipfile.ZipFile(io.BytesIO(data)) as archive:
                    inside = {n: archive.read(n) for n in archive.namelist()}
                title, inside["weights/data.pkl"] = mutate.of_bytes(rng, inside["weights/data.pkl"])
                buffer = io.BytesIO()
                with zipfile.ZipFile(buffer, "w") as archive:
                    for n, member in inside.items():
                        archive.writestr(n, member)
                content = buffer.getvalue()
        else:
            title, content = mutate.of_bytes(rng, stream if old else data)
        yield on_seed(
            seeds, "PyTorch files", f"{'stream' if old else 'zip'}: {title}", valid,
            lambda root, c=content: _write(root / "weights.pth", c),
            # A stream has no checksum, and a changed pickle may name other numbers.
            expect="any" if valid == "from PyTorch" else "refused", names=("weights.pth",),
        )  # fmt: skip


def _png(width: int, height: int) -> bytes:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


_IMAGES = {
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(x) show\n",
    "PDF": b"%PDF-1.4\n",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "a text": b"no image",
    "nothing": b"",
    "10^10 pixels": _png(100_000, 100_000),
    "2^31 pixels wide": _png(2**31 - 1, 1),
    "no pixels": _png(0, 0),
    "one pixel": _png(1, 1),
    "a fraction of its pixels": _png(64, 64),
    "half a JPEG": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01",
    "a GIF header": b"GIF89a\xff\xff\xff\xff\x80\x00\x00",
    "a BMP of -2^31 lines": b"BM" + b"\0" * 8 + b"6\0\0\0(\0\0\0" + b"\xff\xff\xff\x7f\0\0\0\x80\x01\0\x18",
    "a PPM of 10^12 pixels": b"P6 1000000 1000000 255\n",
    "a TIFF that refers to itself": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
}


def image_folders(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Images that are none, and folders of images with odd names and links."""
    suffixes = ("png", "jpg", "gif", "tiff", "webp", "bmp", "ppm")
    ways: dict[str, Callable[[Path], None]] = {
        f"{what} as x.{suffix}": lambda photos, w=what, s=suffix: _write(
            photos / "cat" / f"x.{s}", _IMAGES[w]
        )
        for what in _IMAGES
        for suffix in suffixes
    }
    fine = ("one pixel as",)
    for what in mutate.PLACES:
        ways[f"{what} as x.png"] = lambda photos, w=what: mutate.put(w, photos / "cat" / "x.png")
        ways[f"{what} as a class"] = lambda photos, w=what: mutate.put(w, photos / "dogs")
        ways[f"{what} as the folder"] = lambda photos, w=what: mutate.put(w, photos)
    names = ("a\nb", NOT_UTF8, " x ", "<b>", "$\\frac{$", "[x]", "..x", "-rf", "a:b", "'", "x" * 250,
             "\u202e", "\x1b[31m", "*", "NUL", "%s", "{0}", "#")  # fmt: skip
    for name in names:
        ways[f"a class {name[:9]!r}"] = lambda photos, n=name: (photos / "cat").rename(photos / n)
        ways[f"an image {name[:9]!r}"] = lambda photos, n=name: shutil.copyfile(
            photos / "cat" / "0.png", photos / "cat" / f"{n}.png"
        )
    ways["a loop of links"] = lambda photos: (photos / "cat" / "loop").symlink_to(photos)
    ways["a link to /"] = lambda photos: (photos / "cat" / "root").symlink_to("/proc/self")
    enumerated = list(ways)
    rng.shuffle(enumerated)
    photos = seeds.get("photos")
    files = [path.relative_to(photos) for path in sorted(photos.rglob("*.*"))]
    while True:
        if enumerated and rng.random() < 0.7:
            what = enumerated.pop()
            anything = "a class" in what or "an image" in what or what.startswith(fine)
            anything |= what.endswith("x.png") and "/dev" in what or "a link to /" == what
            yield on_seed(
                seeds, "folders of images", what, "prepare folder",
                lambda root, w=what: ways[w](root / "photos"),
                expect="any" if anything or "as x.png" in what and what[:-9] in mutate.PLACES else "refused",
                names=("x.", "photos", "source"),
            )  # fmt: skip
            continue
        name = rng.choice(files)
        title, content = mutate.of_bytes(rng, (photos / name).read_bytes())
        yield on_seed(
            seeds, "folders of images", f"{name}: {title}", "prepare folder",
            lambda root, n=name, c=content: _write(root / "photos" / n, c),
            expect="any", names=(name.name,),  # formats without checksums have other pixels
        )  # fmt: skip


def original_files(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """The idx files of MNIST and the binary files of CIFAR-10, damaged or replaced."""
    import gzip
    import struct

    idx = seeds.get("idx")
    files = [path.name for path in sorted(idx.iterdir())]
    heads = {
        "2^32 images": struct.pack(">IIII", 0x803, 2**32 - 1, 28, 28),
        "images of 2^31": struct.pack(">IIII", 0x803, 1, 2**31, 2**31),
        "no images": struct.pack(">IIII", 0x803, 0, 28, 28),
        "floats": struct.pack(">IIII", 0xD03, 30, 28, 28),
        "200 dimensions": bytes([0, 0, 8, 200]) + b"\0\0\0\1" * 200,
        "half a header": bytes([0, 0, 8]),
    }
    enumerated = shuffled(rng, files, [*mutate.PLACES, *heads, "a gzip bomb", "two gzip members"])
    while True:
        name = rng.choice(files)
        if enumerated and rng.random() < 0.5:
            name, what = enumerated.pop()

            def change(root: Path, n=name, w=what) -> None:
                path = root / "idx" / n
                if w in mutate.PLACES:
                    mutate.put(w, path)
                elif w in heads:
                    path.write_bytes(gzip.compress(heads[w] + bytes(99)))
                elif w == "a gzip bomb":
                    part = gzip.compress(bytes(2**24), 1)
                    path.write_bytes(gzip.compress(heads["2^32 images"]) + part * 200)
                else:
                    path.write_bytes(path.read_bytes() * 2)

            yield on_seed(
                seeds, "original files of data sets", f"{name}: {what}", "prepare mnist", change,
                expect="refused", names=(name, "idx"),
            )  # fmt: skip
            continue
        if rng.random() < 0.2:
            file = rng.choice(("data_batch_1.bin", "test_batch.bin"))
            what = rng.choice([*mutate.PLACES, "as it is"])

            def change(root: Path, n=file, w=what) -> None:
                if w in mutate.PLACES:
                    mutate.put(w, root / "cifar" / n)

            yield on_seed(
                seeds, "original files of data sets", f"{file}: {what} {rng.random():.3f}",
                "prepare cifar10", change, expect="refused", names=("cifar",),
            )  # fmt: skip
            continue
        title, content = mutate.of_bytes(rng, (idx / name).read_bytes())
        yield on_seed(
            seeds, "original files of data sets", f"{name}: {title}", "prepare mnist",
            lambda root, n=name, c=content: _write(root / "idx" / n, c),
            expect="either", names=(name, "idx"),
        )  # fmt: skip


def caches(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Cached statistics and latents that are damaged, replaced or poisoned."""
    seeds.get("latent")
    places = {"evaluate": "good/evaluate/home/cache", "train in latents": "seeds/cache"}
    seeds.good("evaluate")
    ways = [*mutate.PLACES, *mutate.BAD_ARRAYS, "bytes", "bytes", "bytes", "bytes", "negative"]
    while True:
        valid = rng.choice(list(places))
        base = seeds.folder / places[valid]
        files = [p.relative_to(base) for p in sorted(base.rglob("*")) if p.is_file()]
        name, what = rng.choice(files), rng.choice(ways)
        data = (base / name).read_bytes()
        title, content = mutate.of_bytes(rng, data) if what == "bytes" else (what, b"")

        def change(root: Path, b=base, n=name, w=what, c=content) -> None:
            shutil.copytree(b, root / "home" / "cache")
            path = root / "home" / "cache" / n
            if w in mutate.PLACES:
                mutate.put(w, path)
            elif w == "bytes":
                path.write_bytes(c)
            elif path.suffix == ".npy":
                path.write_bytes(mutate.BAD_ARRAYS.get(w, lambda: b"")())
            elif w == "negative":
                with np.load(path) as arrays:
                    changed = {k: -arrays[k] if arrays[k].dtype.kind == "f" else arrays[k] for k in arrays}
                np.savez(path, **changed)
            else:
                inside = mutate.members(path)
                inside[next(iter(inside))] = mutate.BAD_ARRAYS[w]()
                mutate.npz_with(path, inside)

        yield on_seed(
            seeds, "cached statistics and latents", f"{name.name}: {title}", valid, change,
            expect="any" if name.suffix == ".npy" and what == "bytes" else "either",
            names=(name.name, "cache"),
        )  # fmt: skip


def plug_ins(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Modules of plug-ins that fail, and hashes of them that are damaged."""
    contents = {
        **{k: v for k, v in _CONFIG_FILES.items() if k not in ("warns", "needs an argument")},
        "has no such name": b"x = 1\n",
        "has a number there": b"mine = 1\n",
        "has a function there": b"def mine(): pass\n",
        "has a wrong entry": b"from ddgan_jax.methods import MethodEntry\nmine = MethodEntry(1, 2)\n",
        "builds nothing": b"from ddgan_jax.methods import MethodEntry, ddgan\n"
        b"mine = MethodEntry(lambda *a: None, ddgan.FIELDS)\n",
        "builds with an exception": b"from ddgan_jax.methods import MethodEntry, ddgan\n"
        b"mine = MethodEntry(lambda *a: 1 / 0, ddgan.FIELDS)\n",
    }
    ways = [(f"my_method.py {what}", "mine/my_method.py", v) for what, v in contents.items()]
    for title, name, content in shuffled_list(rng, ways):
        yield on_seed(
            seeds, "plug-ins", title, "plug-in",
            lambda root, n=name, c=content: _write(root / n, c),
            names=("my_method", "mine"), writes=("out", "mine"),
        )  # fmt: skip
    for what in shuffled_list(rng, list(mutate.PLACES)):
        yield on_seed(
            seeds, "plug-ins", f"my_method.py: {what}", "plug-in",
            lambda root, w=what: mutate.put(w, root / "mine" / "my_method.py"),
            names=("my_method", "mine"), writes=("out", "mine"),
        )  # fmt: skip
    methods = ("evil:Evil", "evil:", ":x", "os:system", "evil.x:y", "..:x", "a b:c", "trap_module:x",
               "json:dumps", "my_method:nope", "mine", "evil")  # fmt: skip
    fields = ("method", "gen.network", "data.name", "eval.metrics", "eval.extractors", "space.kind")
    for method, field in shuffled(rng, methods, fields):

        def change(root: Path, m=method, f=field) -> None:
            path = root / "run" / "config.json"
            config = json.loads(path.read_text())
            *above, last = f.split(".")
            section = config
            for part in above:
                section = section.setdefault(part, {})
            section[last] = [m] if last in ("metrics", "extractors") else m
            path.write_text(json.dumps(config))

        yield on_seed(
            seeds, "plug-ins", f"{field} = {method!r}", "evaluate", change, names=(field, method)
        )


def shuffled_list(rng: Random, items: list) -> list:
    """The items in random order."""
    rng.shuffle(items)
    return items


def names(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Folders with odd names, for every command: the same result, or refused in a line."""
    odd = ("[seed0]", "lr[1e-4]", "a\\b", "a*b", "what?", "a b", "ü", "名", "a\nb", "a'b\"c", "$HOME",
           "<script>", "$\\frac{$", "-x", "~", "%s%n", "{0}", "#", "a;b", "a:b", "x" * 200, NOT_UTF8,
           "\x1b[31m", "a,b", "..x", ".hidden", "a=b", "\u202eabc", "a\tb", "&amp;", "a|b")  # fmt: skip
    commands = ("sample", "export", "fields", "resume", "train", "to PyTorch", "prepare folder", "digits")
    for valid, name in shuffled(rng, commands, odd):
        command = VALID[valid]
        places = [*command.seeds, "out"]
        place = rng.choice(places) if valid != "train" else "out"

        def change(root: Path, p=place, n=name) -> None:
            if (root / p).exists():
                (root / p).rename(root / n)

        args = tuple(
            a.replace(f"={place}", f"=./{name}") if f"={place}" in a else (f"./{name}" if a == place else a)
            for a in command.args
        )
        writes = tuple(name if w == place else w for w in command.writes)
        yield on_seed(
            seeds, "names of folders", f"{place} is called {name[:20]!r}", valid, change,
            args=args, writes=writes, expect="any",
            names=(name, "UTF-8", name.encode("unicode_escape").decode(), " ".join(name.split()), "path"),
        )  # fmt: skip


def everything() -> dict[str, tuple[Kind, float]]:
    """Kinds by name, each with its share of the cases."""
    return {
        "flags": (flags, 10),
        "command lines": (command_lines, 4),
        "refused fields": (refused_fields, 16),
        "accepted fields": (accepted_fields, 5),
        "config files": (config_files, 6),
        "run metadata": (run_metadata, 12),
        "run bytes": (run_bytes, 6),
        "checkpoints": (checkpoints, 7),
        "run places": (run_places, 7),
        "run links": (run_links, 5),
        "output links": (temporary_links, 3),
        "comparisons": (comparisons, 4),
        "npz arrays": (npz_arrays, 6),
        "labels": (npz_labels, 1),
        "npz bytes": (npz_bytes, 5),
        "archives": (archives, 4),
        "prepared metadata": (prepared_metadata, 6),
        "prepared files": (prepared_files, 5),
        "torch": (torch_files, 7),
        "images": (image_folders, 7),
        "originals": (original_files, 4),
        "caches": (caches, 4),
        "plug-ins": (plug_ins, 4),
        "names": (names, 5),
    }
