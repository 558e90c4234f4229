"""Bad command lines: flags, words and names of folders."""

from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.sandbox import Case
from tests.fuzz.seeds import EVALUATION, VALID, Seeds, runs
from tests.fuzz.shared import LONG, NOT_UTF8, Random, on_seed, shuffled, write

_NO_INTEGERS = (
    *("", "x", "1e3", "nan", "1.5", "0x10", "--", "-9", "9" * 5000, "99999999999999999999", "1,2"),
    *("\n", "½", "None", " ", "1_", "+-1", NOT_UTF8, "0" * 5000 + "x"),
)
_NO_INPUTS = (
    *(
        "nope",
        "nope/deep",
        NOT_UTF8,
        LONG,
        "/dev/zero",
        "/dev/null",
        "/proc/self/mem",
        "~nobody_/x",
    ),
    *("gs:/bucket/x", "foo://x", "file:///etc", "gs://", "a\nb", "$HOME", "[seed*]", "{0}", "%s"),
    *("/proc/self/fd", "http://localhost/x", "npz:npz:npz", "<b>", "$\\frac{$", ":", ".", "/"),
)
_NO_OUTPUTS = (
    *(f"victim/precious.txt/{end}" for end in ("a", "a/b")),
    *(
        "/proc/x",
        "/dev/null/x",
        "/sys/x",
        LONG,
        "foo://x",
        "gs:/x",
        "gs://x",
        NOT_UTF8,
        "~nobody_/x",
    ),
)
_INPUTS = (
    "--workdir",
    "--config",
    "--checkpoint",
    "--source",
    "--reference",
    "--vgg",
    "--heads",
    "--autoencoder",
    "--samples",
    "--data",
    "--runs",
    "--plugins",
    "samples",
    "configs",
)
_OUTPUTS = ("--out", "--export", "--data_dir", "--copy")
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
    "statistics": (runs.DIGITS, "--out=out/s.npz"),
    "configs": ("ddgan_digits",),
    "compile": (runs.DIGITS, "--target=v5e:2x4"),
    "vgg16": ("--source=weights.pth", "--out=out/v.npz"),
    "metrics_cost": ("--count=8", "--features=4", "--part=kid"),
}
_SERVES = ("demo",)  # it ends by a signal only
_SEEDS = ("run", "other", "dddg", "published", "photos", "samples.npz", "points.npz", "weights.pth")


def flags(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Values of flags that are no values, for every flag of every command."""
    from ddgan_jax.cli import COMMANDS, parser_of

    options = []
    for command in COMMANDS:
        if command in _SERVES:
            continue
        needed = _NEEDED[command]
        for action in parser_of(command)._actions:
            name = (action.option_strings or [action.dest])[-1]
            if name in ("--help", "--debug") or action.nargs == 0:
                continue
            bad: tuple[str, ...] = ("nonsense",) if name in _CHOICES else ()
            if action.type is not None and name not in _CHOICES:
                bad = _NO_INTEGERS
            elif (command, name) == ("train", "--workdir") or (
                name in _OUTPUTS and (command, name) != ("classifier", "--data_dir")
            ):
                bad = _NO_OUTPUTS
            elif name in _INPUTS:
                bad = _NO_INPUTS
            elif name == "--coordinator":
                bad = ("x", ":1234", "host:", "host:99999", "h:x", "a\nb:1", LONG, "[::1", NOT_UTF8)
            elif not bad:
                bad = ("", "nonsense", LONG, NOT_UTF8, "a\nb")
            for value in bad:
                options.append((command, name, value, needed))
    rng.shuffle(options)
    for command, name, value, needed in options:
        if (name, value) in (
            ("--workdir", "."),
            ("--source", "/"),
            ("--source", "."),
            ("--plugins", "."),
            ("--plugins", "/"),
            ("--plugins", "/proc/self/fd"),
        ):
            continue
        positional = not name.startswith("-")
        if positional:
            rest = [n for n in needed if n.startswith("--") and not n.startswith("--config=")]
            args = (command, value, *rest)
        else:
            args = (command, *(n for n in needed if n.partition("=")[0] != name), f"{name}={value}")
        optional = value == "" or name in (
            "--samples_split",
            "--split",
            "--name",
            "--background",
            "--bands",
            "--step",
            "--label",
            "--chip",
            "--autoencoder",
        )
        optional |= (command, name) == ("classifier", "--data_dir")  # the digits need none
        needs = [s for s in _SEEDS if any(s in a for a in args)]
        yield Case(
            "flags",
            f"{command} {name}={value[:40]!r}",
            tuple(args),
            lambda root, needs=needs: seeds.copy(root, *needs),
            "any" if optional else "refused",
            (name.lstrip("-"), value[:20] or name, "--export", "weights.pth", "libtpu"),
            valid="resume",
        )


def command_lines(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Commands and flags that do not exist, are cut short, or contradict each other."""
    from ddgan_jax.cli import COMMANDS

    words = (
        "--nope",
        "--nope=1",
        "nope",
        "--config.",
        "--config.=3",
        "--config.x",
        "--workdir",
        "--",
        "-x",
        "-",
        "--mode=nope",
        "--mode",
        "--mode=",
        "--config.a.b.c=1",
        "--config.train=1",
        f"--{LONG}",
        NOT_UTF8,
        "a\nb",
        "--config.train.batch_size",
        "--config.method.x=1",
        "--config.=",
        "--config..=1",
        "--=",
        "@file",
        "--out",
    )
    for command, word in shuffled(rng, [c for c in COMMANDS if c not in _SERVES], words):
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
            (
                word.partition("=")[0].lstrip("-")[:20] or "unknown",
                word[:10],
                "argument",
                "either",
                "--export",
                "libtpu",  # compile looks for the compiler first
            ),
        )


def names(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Folders with odd names, for every command: the same result, or refused in a line."""
    odd = (
        "[seed0]",
        "lr[1e-4]",
        "a\\b",
        "a*b",
        "what?",
        "a b",
        "ü",
        "名",
        "a\nb",
        "a'b\"c",
        "$HOME",
        "<script>",
        "$\\frac{$",
        "-x",
        "~",
        "%s%n",
        "{0}",
        "#",
        "a;b",
        "a:b",
        "x" * 200,
        NOT_UTF8,
        "\x1b[31m",
        "a,b",
        "..x",
        ".hidden",
        "a=b",
        "\u202eabc",
        "a\tb",
        "&amp;",
        "a|b",
    )
    commands = (
        "sample",
        "export",
        "fields",
        "resume",
        "train",
        "to PyTorch",
        "prepare folder",
        "digits",
    )
    for valid, name in shuffled(rng, commands, odd):
        command = VALID[valid]
        if valid in ("resume", "train") and rng.random() < 0.7:
            continue  # takes seconds
        places = [*command.seeds, "out"]
        place = rng.choice(places) if valid != "train" else "out"

        def change(root: Path, p=place, n=name) -> None:
            if (root / p).exists():
                (root / p).rename(root / n)

        args = tuple(
            a.replace(f"={place}", f"=./{name}")
            if f"={place}" in a
            else (f"./{name}" if a == place else a)
            for a in command.args
        )
        writes = tuple(name if w == place else w for w in command.writes)
        yield on_seed(
            seeds,
            "names of folders",
            f"{place} is called {name[:20]!r}",
            valid,
            change,
            args=args,
            writes=writes,
            expect="any",
            names=(
                name,
                "UTF-8",
                name.encode("unicode_escape").decode(),
                " ".join(name.split()),
                "path",
            ),
        )


_ENVIRONMENTS: dict[str, tuple[str | None, ...]] = {
    "HOME": (None, "", "{root}/in/file", "/proc/x", "nowhere", "{root}/in/closed"),
    "DDGAN_CACHE": ("{root}/in/file", "/proc/x", "foo://x", "", "{root}/in/closed", "a\nb"),
    "TFDS_DATA_DIR": ("{root}/in/file", "/proc/x", "foo://x", "", "gs:/x"),
    "TMPDIR": ("/proc/x", "{root}/in/file", "{root}/in/closed"),
    "MPLCONFIGDIR": ("/proc/x", "{root}/in/file"),
    "COLUMNS": ("x", "0", "-5"),
    "LC_ALL": ("C", "POSIX", "xx_YY"),
    "PYTHONIOENCODING": ("ascii", "latin1", "utf-16"),
    "JAX_PLATFORMS": ("cuda", "tpu", "nonsense", "cpu,nonsense", ""),
    "JAX_NUM_CPU_DEVICES": ("3",),
    "OMPI_COMM_WORLD_SIZE": ("2",),
    "OMPI_MCA_orte_hnp_uri": ("x",),
    "SLURM_JOB_ID": ("1",),
    "SLURM_NTASKS": ("2", "x"),
    "SLURM_STEP_NODELIST": ("[", "x"),
}
_HALF = {  # what makes jax look at a variable of a cluster
    "OMPI_COMM_WORLD_SIZE": {"OMPI_MCA_orte_hnp_uri": "1.0;tcp://10.0.0.1:3"},
    "SLURM_NTASKS": {"SLURM_JOB_ID": "1"},
    "SLURM_STEP_NODELIST": {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "2", "SLURM_PROCID": "0"},
}
_AT_IMPORT = (
    "LC_ALL",
    "PYTHONIOENCODING",
    "JAX_PLATFORMS",
    "JAX_NUM_CPU_DEVICES",
    "TMPDIR",
    *_HALF,
)


def environments(rng: Random, seeds: Seeds) -> Iterator[Case]:
    """Environment variables that are not set, name nothing usable, or are half set."""
    options = [
        (valid, name, value)
        for name, values in _ENVIRONMENTS.items()
        for value in values
        for valid in ("sample", "fields", "prepare mnist", "train npz")
    ]
    rng.shuffle(options)
    for valid, name, value in options:
        fresh = name in _AT_IMPORT
        if valid == "train npz" and (fresh or rng.random() < 0.7):
            continue  # takes seconds

        def change(root: Path) -> None:
            write(root / "in" / "file", b"mine")
            (root / "in" / "closed").mkdir(mode=0)

        yield on_seed(
            seeds,
            "environments",
            f"{name}={value!r}",
            valid,
            change,
            expect="either" if name in ("LC_ALL", "PYTHONIOENCODING", "COLUMNS") else "any",
            names=(name, name.partition("_")[0].capitalize(), "cluster", "coordinator", "/proc/x"),
            env={**_HALF.get(name, {}), name: value},
            fresh=fresh,
            writes=(*VALID[valid].writes, "nowhere", "a\nb"),
        )
