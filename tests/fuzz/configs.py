"""Bad configs: fields, files and plug-ins."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fuzz import mutate
from tests.fuzz.sandbox import Case
from tests.fuzz.seeds import CONFIGS, SHORT, Seeds
from tests.fuzz.shared import LONG, NOT_UTF8, Random, on_seed, shuffled, shuffled_list, write

_TEXTS: dict[type, tuple[str, ...]] = {
    bool: ("2", "maybe", "", "None", "yes\n", "nan"),
    int: (
        "-1",
        "0",
        "1",
        "100000000",
        "1000000000000",
        "9" * 30,
        "9" * 5000,
        "x",
        "",
        "nan",
        "1.5",
        "1e5",
        "true",
        "-9999999999999999999",
        "16384",
        "1000000",
        "10000000",
    ),
    float: (
        "nan",
        "inf",
        "-inf",
        "1e308",
        "-1e308",
        "1e400",
        "x",
        "",
        "1e-320",
        "-1",
        "0",
        "1",
        "1e12",
        "1e30",
        "999",
        "9" * 5000,
        "0.999999999999",
        "1e-12",
        "true",
    ),
    str: (
        "",
        "x",
        "a\nb",
        NOT_UTF8,
        "/dev/zero",
        "evil:Evil",
        LONG,
        "[",
        "../../x",
        "<b>",
        "nope:",
        ":",
        "evil",
        "os:system",
        "npz:/dev/zero",
        "tfds:../x",
        "1e308 steps",
        "1e13 epochs",
        "-1 steps",
        "0 epochs",
        "nan steps",
        "1e-300 images",
        "5",
        "npz:",
        "tfds:",
    ),
    tuple: (
        "x",
        "nan",
        "-1",
        "1," * 5000,
        "9" * 30,
        "",
        "1e308",
        "0",
        "true",
        "1,x",
        "[[1]]",
        "inf",
    ),
}


def _configs() -> Iterator[tuple[str, Any]]:
    """Every shipped config that is small, with its fields."""
    from ddgan_jax.config.overrides import load_config_file
    from ddgan_jax.methods import complete_config

    for name in (*sorted(path.name for path in CONFIGS.glob("*digits.py")), "ddgan_toy2d.py"):
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
    small = dict(_BASE)
    if not any(part in name for part in ("toy2d", "autoencoder", "stylegan2")):
        small |= {"gen.width": "16", "gen.blocks": "1"}
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
    "nests 500 deep": b"import ml_collections as m\ndef get_config():\n  c = m.ConfigDict()\n"
    b"  d = c\n  for i in range(500):\n    d.a = m.ConfigDict()\n    d = d.a\n  return c\n",
    "is nested": b"def get_config(): " + b"(" * 150 + b"1" + b")" * 150,
    "asserts": b"assert False\n",
    "raises UserError": b"from ddgan_jax.core.errors import UserError\nraise UserError('x\\ny')\n",
    "raises OSError": b"raise OSError(2, 'x', 'y')\n",
}
_FIELD_VALUES = (
    "None",
    "[]",
    "{}",
    "object()",
    "lambda: 1",
    "b'x'",
    "1j",
    "float('nan')",
    "10**400",
    "-1",
    "''",
    "'x'",
    "[[1]]",
    "('a', 1)",
    "range(3)",
    "type",
    "1e308",
    "True",
    "__import__('numpy').zeros(3)",
    "ml_collections.ConfigDict({'a': 1})",
    "ml_collections.FieldReference(3)",
    "[None]",
    "{1: 2}",
    "'\\ud800'",
)


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
            lambda root, content=content: write(root / "c.py", content),
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
    for case, ((name, field), value) in zip(first, second, strict=False):
        yield case
        if field == "train.duration":
            continue
        content = template.format(file=str(CONFIGS / name), field=field, value=value).encode()
        yield Case(
            "config files",
            f"train: {name} {field} = {value}",
            ("train", "--config=c.py", *SHORT[1:]),
            lambda root, content=content: write(root / "c.py", content),
            "any",
            ("c.py", "config"),
            valid="train",
            writes=("out", "__pycache__"),
        )


def plug_ins(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Modules of plug-ins that fail, and hashes of them that are damaged."""
    contents = {
        **{k: v for k, v in _CONFIG_FILES.items() if k != "needs an argument"},
        "has no such name": b"x = 1\n",
        "has a number there": b"mine = 1\n",
        "has a function there": b"def mine(): pass\n",
        "has a wrong entry": b"from ddgan_jax.methods import MethodEntry as M\nmine = M(1, 2)\n",
        "builds nothing": b"from ddgan_jax.methods import MethodEntry, ddgan\n"
        b"mine = MethodEntry(lambda *a: None, ddgan.FIELDS)\n",
        "builds with an exception": b"from ddgan_jax.methods import MethodEntry, ddgan\n"
        b"mine = MethodEntry(lambda *a: 1 / 0, ddgan.FIELDS)\n",
    }
    ways = [(f"my_method.py {what}", "mine/my_method.py", v) for what, v in contents.items()]
    for title, name, content in shuffled_list(rng, ways):
        yield on_seed(
            seeds,
            "plug-ins",
            title,
            "plug-in",
            lambda root, n=name, c=content: write(root / n, c),
            names=("my_method", "mine"),
            writes=("out", "mine"),
        )
    for what in shuffled_list(rng, list(mutate.PLACES)):
        yield on_seed(
            seeds,
            "plug-ins",
            f"my_method.py: {what}",
            "plug-in",
            lambda root, w=what: mutate.put(w, root / "mine" / "my_method.py"),
            names=("my_method", "mine"),
            writes=("out", "mine"),
        )
    methods = (
        "evil:Evil",
        "evil:",
        ":x",
        "os:system",
        "evil.x:y",
        "..:x",
        "a b:c",
        "trap_module:x",
        "json:dumps",
        "my_method:nope",
        "mine",
        "evil",
    )
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
