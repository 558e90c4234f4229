"""Parser and flags that the commands share."""

import argparse
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from ml_collections import ConfigDict

from ddgan_jax.config import plugins
from ddgan_jax.config.base import BASE_FIELDS, adam_fields
from ddgan_jax.config.overrides import load_config_file, meant, override
from ddgan_jax.core.errors import UserError, nearest
from ddgan_jax.io.best import BEST, Step
from ddgan_jax.io.hub import is_hub, run_path
from ddgan_jax.io.storage import PRETRAINED, AnyPath, as_path, local_path

LARGEST_SEED = 2**32 - 1
MOST_SEEDS = 1_000_000


class Parser(argparse.ArgumentParser):
    """The flags of one command; mistakes are UserErrors."""

    def __init__(self, command: str, about: str) -> None:
        super().__init__(
            prog=f"python -m ddgan_jax {command}",
            description=about,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            exit_on_error=False,
        )
        self.set_defaults(command=command)
        self.takes_overrides = False
        self.add_argument(
            "--debug", action="store_true", help="print the traceback of an internal error too"
        )

    def format_usage(self) -> str:
        """One line; the flags are listed below it."""
        return "usage: " + self._usage_line() + "\n"

    def format_help(self) -> str:
        """Replace the usage that lists every flag by one line."""
        self.usage = self._usage_line()
        return super().format_help()

    def _usage_line(self) -> str:
        names = [
            f"[{action.dest} ...]" if action.nargs == "*" else action.metavar or action.dest
            for action in self._actions
            if not action.option_strings
        ]
        overrides = ["[--config.FIELD=value ...]"] if self.takes_overrides else []
        return " ".join([self.prog, *map(str, names), "[--flag=value ...]", *overrides])

    def error(self, message: str) -> NoReturn:
        """Raise a UserError instead of leaving."""
        raise UserError(f"{message}; see --help")

    def flags(self) -> list[str]:
        """All flags of the command, each with its dashes."""
        return [name for action in self._actions for name in action.option_strings]

    def parse(
        self, argv: Sequence[str], commands_with: Callable[[str], list[str]] = lambda flag: []
    ) -> argparse.Namespace:
        """Parse the arguments of the command.

        Args:
          argv: arguments.
          commands_with: the commands that have a flag, for the message if this one has not.

        Returns:
          The flags; `command`, its name; `overrides`, {FIELD: VALUE} of --config.FIELD=VALUE. The
          folders of --plugins are importable afterwards.

        Raises:
          UserError: a flag is unknown, or its value is not allowed.
        """
        others, overrides = split_overrides(argv)
        command = self.get_default("command")
        for argument, following in zip(others, [*others[1:], "--"], strict=False):
            flag, equals, value = argument.partition("=")
            if flag.startswith("--") and equals and value == "--":  # argparse would drop it
                self.error(f"{flag} is '--'; another value is needed")
            if flag.startswith("--") and not (value if equals else following):
                self.error(f"{flag} is empty; a value is needed, or no {flag} at all")
        try:
            args, unknown = self.parse_known_args(others)
        except argparse.ArgumentError as error:
            self.error(" ".join(filter(None, (error.argument_name, error.message))))
        if unknown:
            flag = unknown[0].partition("=")[0]
            fields: list[str] = []
            if self.takes_overrides:
                fields = meant(flag.strip("-"), {**BASE_FIELDS, **adam_fields("gen")})
            if not fields and (owners := commands_with(flag)):
                self.error(f"{flag} is a flag of {', '.join(owners)}, not of {command}")
            similar = nearest(flag, self.flags())
            hint = f"; did you mean --config.{fields[0]}?" if fields else similar
            self.error(f"{unknown[0]} is unknown to {command}{hint}")
        if overrides and not self.takes_overrides:
            self.error(f"--config.{next(iter(overrides))} is unknown: {command} changes no config")
        args.overrides = overrides
        for folder in getattr(args, "plugins", ()):
            plugins.allow(folder)
        return args


def split_overrides(argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Split off `--config.FIELD=VALUE` or `--config.FIELD VALUE`.

    Returns:
      The other arguments, and {FIELD: VALUE}.

    Raises:
      UserError: a value is missing.
    """
    others, changes, rest = [], {}, iter(argv)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        if not flag.startswith("--config."):
            others.append(argument)
            continue
        if not equals:
            value = next(rest, "--")
            if value.startswith("--"):
                raise UserError(f"{flag} needs a value: {flag}=VALUE")
        changes[flag.removeprefix("--config.")] = value
    return others, changes


# --- types of flags: text -> value, or an error that says what is allowed ------------------------


def integer(low: int, high: int = 10**12, allowed: str = "") -> Callable[[str], int]:
    """A flag that takes an integer in [low, high]; `allowed` says so in words."""
    words = allowed or {0: "an integer >= 0", 1: "a positive integer"}.get(low, f"[{low}, {high}]")

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"is {text!r}; an integer is needed") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"is {text}; {words} is needed")
        return value

    return convert


def number(low: float, high: float) -> Callable[[str], float]:
    """A flag that takes a number in [low, high]."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"is {text}; a number in [{low}, {high}] is needed")
        return value

    return convert


def positive_number(text: str) -> float:
    """A flag that takes a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"is {text}; a positive number is needed")
    return value


def positive_integers(text: str) -> tuple[int, ...]:
    """A flag that takes positive integers, separated by commas."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(
            f"is {text!r}; positive integers, separated by commas, are needed"
        )
    return tuple(int(part) for part in parts)


def one_of(*known: str) -> Callable[[str], str]:
    """A flag that takes one of `known`."""

    def convert(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(
                f"is {text!r}; one of {', '.join(known)} is needed{nearest(text, known)}"
            )
        return text

    return convert


def seeds(text: str) -> tuple[int, ...]:
    """A flag that takes seeds and ranges of seeds: 3,7 or 0-99, or both."""
    found: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        ends = [low, high] if dash else [low]
        numbers = [int(end) if end.isdecimal() and len(end) < 12 else -1 for end in ends]
        if not 0 <= numbers[0] <= numbers[-1] <= LARGEST_SEED or len(found) > MOST_SEEDS:
            found = []
            break
        found += range(numbers[0], min(numbers[-1], numbers[0] + MOST_SEEDS) + 1)
    if twice := [seed for seed, count in Counter(found).items() if count > 1]:
        raise argparse.ArgumentTypeError(f"is {text!r}, which has {twice[0]} twice; once is needed")
    if not found or len(found) > MOST_SEEDS:
        raise argparse.ArgumentTypeError(
            f"is {text!r}; up to {MOST_SEEDS:,} seeds in [0, 2^32) such as 0-99 or 3,7 are needed"
        )
    return tuple(found)


SEED = integer(0, LARGEST_SEED, "an integer in [0, 2^32)")


# --- flags that several commands have -------------------------------------------------------------


def add_config(parser: Parser, default: str = "the config of the run folder") -> None:
    """Add --config, --config.FIELD and --plugins; `default` says what holds without them."""
    parser.add_argument(
        "--config",
        default="",
        metavar="FILE",
        help="config file, FILE.py or FILE.py:VARIANT, or the name of a config of the package, "
        f"listed by the command configs; default: {default}",
    )
    add_plugins(parser)
    parser.takes_overrides = True


def add_plugins(parser: Parser) -> None:
    """Add --plugins."""
    parser.add_argument(
        "--plugins",
        action="append",
        default=[],
        metavar="FOLDER",
        help="folder of your own Python modules that the config names as module:attribute; may be "
        "given several times. The folder of --config is always among them",
    )


def add_workdir(parser: Parser, what: str = "run folder") -> None:
    """Add --workdir."""
    parser.add_argument("--workdir", default="", metavar="FOLDER", help=what)


def step_type(allowed: str) -> Callable[[str], Step]:
    """A flag that takes the step of a checkpoint, or best; `allowed` says so in words."""
    numbers = integer(-1, allowed=allowed)
    return lambda value: BEST if value == BEST else numbers(value)


def add_step(parser: Parser) -> None:
    """Add --step, of a checkpoint."""
    parser.add_argument(
        "--step",
        type=step_type("a saved step, -1 for the last, or best,"),
        default=-1,
        help="step of the checkpoint, or best: the one that config.eval.best chose by the "
        "evaluations during training; default: the last",
    )


def add_distributed(parser: Parser) -> None:
    """Add the flags by which several processes form one run."""
    add = parser.add_argument
    add(
        "--coordinator",
        default="auto",
        metavar="HOST:PORT",
        help="several hosts: HOST:PORT of process 0; auto, default: as the cluster says (TPU pods, "
        "Slurm, Open MPI); none: this process is alone",
    )
    add("--num_processes", type=integer(1), default=1, help="number of processes, with HOST:PORT")
    add("--process_id", type=integer(0), default=0, help="which one this is, with HOST:PORT")


# --- what the flags mean --------------------------------------------------------------------------


def check_distributed(args: argparse.Namespace) -> None:
    """Raise a UserError unless the flags of `add_distributed` make sense together."""
    count, index, coordinator = args.num_processes, args.process_id, args.coordinator
    if index >= count:
        raise UserError(
            f"--process_id is {index} of --num_processes={count}; 0 <= ID < N is needed"
        )
    if coordinator in ("auto", "none"):
        if count > 1:
            raise UserError(f"--num_processes={count} needs --coordinator=HOST:PORT")
        return
    host, _, port = coordinator.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port[:6]) < 2**16):
        raise UserError(f"--coordinator is {coordinator!r}; HOST:PORT, auto or none is needed")


def workdir_of(args: argparse.Namespace) -> AnyPath:
    """The run folder of a command that writes to it.

    Raises:
      UserError: --workdir is missing, or is a run of the package.
    """
    if not args.workdir:
        raise UserError(f"{args.command} needs --workdir=FOLDER")
    if args.workdir.startswith(PRETRAINED):
        hint = "; --init_from begins a run with its weights" if args.command == "train" else ""
        raise UserError(f"--workdir={args.workdir}: a run of the package is only read{hint}")
    return as_path(args.workdir)


def run_of(args: argparse.Namespace) -> AnyPath:
    """The run folder of a command that only reads it; one of the hub is downloaded.

    A folder of the hub or of the package is not written to, so --out is needed.

    Raises:
      UserError: --workdir is missing, or see `io.hub.run_path`.
    """
    elsewhere = is_hub(args.workdir) or str(args.workdir).startswith(PRETRAINED)
    if elsewhere and not getattr(args, "out", "something"):
        raise UserError(f"{args.command} of --workdir={args.workdir} needs --out=FOLDER")
    return run_path(args.workdir) if args.workdir else workdir_of(args)


def out_of(args: argparse.Namespace, inside: str = "") -> Path:
    """The output folder: --out, or the folder called `inside` in the run folder.

    Raises:
      UserError: --out is missing or not on a disk.
    """
    if "://" in args.out:
        raise UserError(f"--out={args.out}: a folder on a disk is needed")
    if args.out:
        return local_path(args.out)
    workdir = getattr(args, "workdir", "")
    if not workdir:
        raise UserError(f"{args.command} needs --out=FOLDER here")
    if "://" in workdir:
        raise UserError(f"{args.command} of --workdir={workdir} needs --out=FOLDER")
    return local_path(workdir) / inside


def step_of(args: argparse.Namespace) -> Step:
    """The step of the checkpoint, or "best"; None for the last one."""
    if args.step == BEST:
        return BEST
    return None if args.step < 0 else int(args.step)


def check_one_config(args: argparse.Namespace) -> None:
    """Raise a UserError if both --config and --workdir name the config of a command."""
    if args.config and args.workdir:
        raise UserError(f"{args.command} needs either --config=FILE or --workdir=FOLDER, not both")


def read_config(args: argparse.Namespace) -> ConfigDict:
    """The validated config: that of --config or else of --workdir, with --config.FIELD applied.

    Raises:
      UserError: there is none, or something is wrong with it.
    """
    from ddgan_jax.config.stored import read_config as read_stored
    from ddgan_jax.methods import complete_config, validate, with_field

    if args.config:
        config = load_config_file(args.config)
    elif getattr(args, "workdir", ""):
        config = read_stored(run_path(args.workdir))
    else:
        raise UserError(
            "--config=FILE is needed, for example --config=ddgan_digits; python -m ddgan_jax "
            "configs lists those of the package"
        )
    config = complete_config(config)
    if kind := args.overrides.get("space.kind"):  # which brings fields of its own
        config = complete_config(override(config, {"space.kind": kind}))
    return validate(override(config, args.overrides, with_field))


def read_changes(args: argparse.Namespace) -> ConfigDict | None:
    """As `read_config`; None if the flags leave the config of the run folder as it is."""
    return read_config(args) if args.config or args.overrides else None
