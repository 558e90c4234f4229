"""Names, flags, help, errors and exit statuses of all commands."""

import configparser
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_runs as runs
from jax.errors import JaxRuntimeError

import ddgan_jax
from ddgan_jax import cli
from ddgan_jax.cli import COMMANDS, commands_with, main, parser_of
from ddgan_jax.cli.common import Parser, read_config
from ddgan_jax.cli.exit_status import Status, run_command
from ddgan_jax.config import plugins
from ddgan_jax.core.errors import UserError

SHIPPED = runs.ROOT / "ddgan_jax" / "pretrained" / "ddgan_digits"
ALIASES = {
    "convert": "convert",
    "convert.inception": "inception",
    "convert.lpips": "lpips",
    "data.prepare": "prepare",
    "figures": "figures",
    "scaling": "scaling",
    "metrics.classifier": "classifier",
    "metrics.cost": "metrics_cost",
    "metrics.digits": "digits",
    "metrics.modes": "modes",
}


def command(*args, code="", module="ddgan_jax"):
    """A command as a process: (exit status, stdout, stderr)."""
    start = ["-c", code] if code else ["-m", module]
    done = subprocess.run(
        [sys.executable, *start, *args], cwd=runs.ROOT, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


# --- names and help -------------------------------------------------------------------------------


def test_help_lists_all_commands_and_exit_statuses(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for name, entry in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(entry.summary)}$", text, re.MULTILINE)
    for status in Status:
        assert re.search(rf"^ +{int(status)}  {re.escape(status.meaning)}$", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_teaches_it(name, capsys):
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: python -m ddgan_jax {name}")
    assert re.search(rf"^ *(\S+=8 )?python -m ddgan_jax {name}\b", text, re.MULTILINE)
    assert all(flag in text for flag in parser_of(name).flags())
    assert main([f"--mode={name}", "--help"]) == main(["--mode", name, "--help"]) == 0
    assert capsys.readouterr().out == 2 * text


def test_nothing_heavy_is_imported_for_help_and_mistakes():
    code = (
        "import sys; from ddgan_jax.cli import COMMANDS, main\n"
        "for name in COMMANDS: assert main([name, '--help']) == 0\n"
        "assert main(['train', '--refine=3']) == main(['sampel']) == main(['sample']) == 1\n"
        "heavy = {'jax', 'flax', 'optax', 'orbax', 'matplotlib', 'tensorflow_datasets'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
    )
    status, _, err = command(code=code)
    assert status == 0, err


def test_what_help_says_without_importing_it_is_so():
    from ddgan_jax.inference.published import SOURCES
    from ddgan_jax.profiling.hardware import CHIPS
    from ddgan_jax.profiling.metrics_cost import PARTS
    from ddgan_jax.training.classifier import BATCH, STEPS

    texts = {name: " ".join(parser_of(name).format_help().split()) for name in COMMANDS}
    assert all(name in texts["convert"] for name in SOURCES)
    assert ", ".join(PARTS) in texts["metrics_cost"]
    assert ", ".join(CHIPS) in texts["scaling"]
    assert f"of {BATCH} images; default: {STEPS}" in texts["classifier"]
    parser = parser_of("classifier")
    assert parser.get_default("steps") == STEPS


def test_version(capsys):
    assert main(["--version"]) == main(["train", "--version"]) == 0
    assert capsys.readouterr().out == 2 * f"ddgan_jax {ddgan_jax.__version__}\n"


def test_console_script_and_typing_marker():
    setup = configparser.ConfigParser()
    setup.read(runs.ROOT / "setup.cfg")
    script = setup["options.entry_points"]["console_scripts"].strip()
    name, target = re.split(r"\s*=\s*", script)
    module, attribute = target.split(":")
    assert (
        name == "ddgan" and getattr(importlib.import_module(module), attribute) is cli.run_and_exit
    )
    assert "py.typed" in setup["options.package_data"]["ddgan_jax"]
    assert (runs.ROOT / "ddgan_jax" / "py.typed").is_file()
    status, out, _ = command("--version", code=f"from {module} import {attribute}; {attribute}()")
    assert (status, out) == (0, f"ddgan_jax {ddgan_jax.__version__}\n")


@pytest.mark.parametrize("module", ["ddgan_jax", "ddgan_jax.main"])
def test_processes_end_with_the_status(module):
    assert command("sample", module=module)[::2] == (
        1,
        "error: sample needs --workdir=FOLDER\n",
    )
    assert command("--mode=fields", "--help", module=module)[0] == 0


def test_main_is_short():
    assert len((runs.ROOT / "ddgan_jax" / "main.py").read_text().splitlines()) < 60


@pytest.mark.parametrize(("module", "name"), ALIASES.items())
def test_earlier_names_are_the_same_commands(module, name):
    assert command("--help", module=f"ddgan_jax.{module}") == command(name, "--help")
    assert vars(importlib.import_module(f"ddgan_jax.{module}")).get("run_and_exit") is None


def test_a_name_that_is_none():
    for args, words in (
        (["sampel"], ("no command 'sampel'", "did you mean 'sample'?")),
        (["--mode=trian"], ("--mode is 'trian'", "did you mean 'train'?")),
        (["--mode"], ("--mode is ''",)),
        (["sample", "--mode=train"], ("--mode=train", "sample")),
    ):
        with pytest.raises(UserError) as error:
            cli._split_command(args)
        assert all(word in str(error.value) for word in words), error.value
    assert cli._split_command(["--seed=1", "--mode", "sample", "--x"]) == (
        "sample",
        ["--seed=1", "--x"],
    )
    assert cli._split_command(["sample", "--mode=sample"]) == ("sample", [])


# --- flags ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["train", "--refine=3"], "--refine is a flag of reconstruct, not of train"),
        (["train", "--out=x"], "--out is a flag of sample, evaluate, statistics, "),
        (["sample", "--samples=digits"], "--samples is a flag of evaluate, not of sample"),
        (["compare", "--workdir=x"], "--workdir is a flag of train, sample, "),
        (["train", "--workdri=x"], "--workdri=x is unknown to train; did you mean '--workdir'?"),
        (["sample", "more"], "more is unknown to sample"),
        (["prepare", "mnist", "--config.seed=1"], "--config.seed is unknown: prepare changes no"),
        (["prepare", "minst", "--source=x"], "KIND is 'minst'; one of mnist, "),
        (["prepare", "mnist", "--source=x", "--size=3"], "--size goes with prepare folder alone"),
        (
            ["prepare", "mnist", "--source=x", "--background=red"],
            "--background goes with prepare folder alone",
        ),
        (["prepare", "folder", "--source=x", "--size=3"], "--name is needed"),
        (["train", "--config=digits", "--init_from="], "--init_from is empty; a value is needed"),
        (["evaluate", "--reference", "", "--workdir=x"], "--reference is empty"),
        (["sample", "--workdir=x", "--out", ""], "--out is empty"),
        (["prepare", "--source=x"], "KIND"),
        (["benchmark", "--trials=3", runs.DIGITS], "--trials needs config files to compare"),
        (["scaling", runs.DIGITS, "--measure=1,x"], "--measure is '1,x'; positive integers"),
        (["scaling", runs.DIGITS, "--chip=H10"], "--chip is 'H10'; some of TPU v4, "),
        (["evaluate", "--samples=digits", runs.DIGITS], "needs --out=FOLDER"),
        (["evaluate", "--workdir=x", "--samples_split=test"], "needs --samples=DATA"),
        (["reconstruct", "--workdir=x", "--refine=-1"], "--refine is -1; a number of steps >= 0"),
        (["reconstruct", "--workdir=x", "--refine_rate=0"], "--refine_rate is 0; a positive"),
        (["sample", "--workdir=x", "--label=-2"], "--label is -2; a class, or -1"),
        (["sample", "--workdir=x", "--truncation=3"], "--truncation is 3; a number in [0, 2]"),
        (["sample", f"--workdir={SHIPPED}", "--truncation=0.7"], "has no styles"),
        (["convert", "--source=stylegan2", "--workdir=x"], "--checkpoint is needed"),
        (["export", "--workdir=x"], "export needs --out=FOLDER"),
        (["lpips", "--vgg=x"], "lpips needs --heads=FILE"),
        (["digits"], "SAMPLES.npz"),
    ],
)
def test_mistakes_are_one_line(args, words, capfd):
    runs.fails(capfd, args, words)


def test_commands_with_a_flag():
    assert commands_with("--refine") == ["reconstruct"]
    assert commands_with("--nothing") == []


END = r"&&|[;#](?:\s|$)|\s[|&>(]|$"  # of a command in a line
README_COMMAND = re.compile(r"python -m (ddgan_jax[\w.]*)((?:[^\n`\\]|\\\n)*)")


def documented():
    """(file, module, arguments) of all command lines in the documentation."""
    for pattern in (
        "README.md",
        "CONTRIBUTING.md",
        "docs/*.md",
        "configs/*.py",
        "examples/*",
        "launch/*",
    ):
        for path in filter(Path.is_file, sorted(runs.ROOT.glob(pattern))):
            text = re.sub(r"\$\([^)]*\)", "OUTPUT", path.read_text())
            for module, rest in README_COMMAND.findall(re.sub(r"(--mode=)?COMMAND", "", text)):
                line = rest.replace("\\\n", " ")
                yield path.name, module, re.split(END, line, maxsplit=1, flags=re.M)[0]


def test_documented_command_lines_are_understood(monkeypatch):
    """Their flags, and the fields that they change in configs that exist."""
    monkeypatch.chdir(runs.ROOT)
    count = fields = 0
    for name, module, rest in documented():
        try:
            words = shlex.split(rest)
        except ValueError:  # a quotation that goes on
            continue
        words = [word for word in words if not word.startswith(("$", "..."))]
        assert module in ("ddgan_jax", "ddgan_jax.main"), (name, module)
        found, args = cli._split_command(words)
        if args and "--help" not in args:
            parsed = parser_of(found or "train").parse(args)
            count += 1
            if getattr(parsed, "overrides", None) and (parsed.config or "").startswith("configs/"):
                read_config(parsed)
                fields += 1
    assert count > 200 and fields > 10


def test_fields_are_listed_with_their_meaning(capsys):
    from ddgan_jax.config.base import BASE_FIELDS

    assert main(["fields"]) == 0
    text = capsys.readouterr().out
    for name, field in BASE_FIELDS.items():
        assert re.search(rf"^{re.escape(name)}( = |  \()", text, re.MULTILINE), name
        assert " ".join(field.help.split()) in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 100
    assert main(["fields", runs.DIGITS, "--config.seed=4"]) == 0
    text = capsys.readouterr().out
    assert "\nseed = 4  (default: 0)\n    an integer >= 0 (at most 4294967295)" in text
    assert "\ndiffusion.num_steps = 2  (default: 4)\n" in text
    assert "\ngen.width = 256\n    attribute of the network 'mlp'\n" in text


# --- plugins --------------------------------------------------------------------------------------


@pytest.fixture
def forget_plugins(monkeypatch):
    monkeypatch.setattr(plugins, "_folders", [])
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_plugins_are_importable(tmp_path, forget_plugins, capfd):
    folders = [tmp_path / "one", tmp_path / "two"]
    for i, folder in enumerate(folders):
        folder.mkdir()
        (folder / f"plugin_{i}.py").write_text(f"number = {i}\n")
    args = parser_of("train").parse([f"--plugins={folder}" for folder in folders])
    assert args.plugins == [str(folder) for folder in folders]
    for i in range(2):
        assert plugins.lookup("method", f"plugin_{i}:number", {}, int) == i
    runs.fails(capfd, ["--plugins=nowhere"], "--plugins=nowhere", "no such folder")
    reads = {name for name in COMMANDS if {"--config", "--workdir"} & set(parser_of(name).flags())}
    assert reads == set(commands_with("--plugins"))


def test_the_folder_of_a_config_is_importable(tmp_path, forget_plugins):
    (tmp_path / "beside.py").write_text("width = 16\nmember = 'mine'\n")
    (tmp_path / "config.py").write_text(
        f"import runpy, beside\nget_config = runpy.run_path({runs.DIGITS[9:]!r})['get_config']\n"
    )
    config = runs.config_of(f"--config={tmp_path}/config.py")
    assert config.method == "ddgan"
    assert plugins.lookup("method", "beside:member", {}, str) == "mine"


# --- errors and exit statuses ---------------------------------------------------------------------


def failing(error):
    def run():
        raise error

    return run


def test_exit_statuses():
    assert {s.name: int(s) for s in Status} == {
        "DONE": 0,
        "MISTAKE": 1,
        "BUG": 70,
        "LOST": 75,
        "HANGUP": 129,
        "INTERRUPTED": 130,
        "WATCHDOG": 134,
        "USER": 138,
        "CLOSED": 141,
        "TERMINATED": 143,
    }


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (UserError("what\nis wrong"), 1, "error: what is wrong\n"),
        (OSError(28, "No space left on device", "file"), 1, "error: No space left on device: file"),
        (JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory"), 1, "error: out of device memory; "),
        (KeyboardInterrupt(), 130, "stopped by SIGINT\n"),
        (SystemExit(0), 0, ""),
        (SystemExit(None), 0, ""),
    ],
)
def test_failures_that_are_reported(error, status, line, capsys):
    assert run_command(failing(error)) == status
    err = capsys.readouterr().err
    assert err.startswith(line) and err.count("\n") == bool(line)


@pytest.mark.parametrize(
    "error", [ValueError("x"), RuntimeError("RESOURCE_EXHAUSTED"), JaxRuntimeError("INTERNAL: x")]
)
def test_bugs_are_one_line_and_keep_their_trace(error, capfd, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run_command(failing(error)) == 70
    runs.one_line(capfd.readouterr().err, [f"internal error: {type(error).__name__}", str(error)])
    [file] = tmp_path.glob("ddgan_jax_error_*.txt")
    assert "Traceback" in file.read_text()


def test_a_lost_process(monkeypatch, capsys):
    import jax

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    lost = JaxRuntimeError("UNKNOWN: Gloo all-reduce failed: Connection reset by peer")
    for error in (lost, UserError("checkpoint")):
        error.__cause__ = None if error is lost else lost
        assert run_command(failing(error)) == Status.LOST
        assert "another process of this run is gone" in capsys.readouterr().err


def test_interrupt_of_a_process(monkeypatch):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("ddgan_jax.cli.sample.run", interrupted)
    assert main(["sample", "--workdir=x"]) == Status.INTERRUPTED == 130


def test_parser_errors_are_user_errors():
    parser = Parser("x", "about")
    with pytest.raises(UserError, match="see --help"):
        parser.error("wrong")
