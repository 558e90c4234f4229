"""Commands: one file each, imported when it is asked for.

`python -m ddgan_jax COMMAND`, `ddgan COMMAND` and `python -m ddgan_jax.main --mode=COMMAND` are the
same. A command's file has the text of its --help, `add_flags(parser)` and `run(args)`.
"""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import ddgan_jax
from ddgan_jax.cli import environment
from ddgan_jax.cli.common import Parser
from ddgan_jax.cli.exit_status import Status, finished, report_in_threads, run_command
from ddgan_jax.core import signals
from ddgan_jax.core.errors import UserError, nearest


class Command(NamedTuple):
    """Where a command is, and what it does in one line."""

    module: str
    summary: str


def _commands(**summaries: str) -> dict[str, Command]:
    return {name: Command(f"ddgan_jax.cli.{name}", text) for name, text in summaries.items()}


COMMANDS = _commands(
    train="train a model, or continue a run (the default)",
    sample="draw samples from a run",
    evaluate="FID and other metrics of a run, or of images made elsewhere",
    statistics="write the reference statistics of a data set, for evaluate --reference",
    compare="several evaluated runs on one page",
    reconstruct="encode real images and decode them again",
    demo="a page in the browser: draw samples, invert and edit images",
    export="copy what sampling needs from a run folder",
    convert="published PyTorch checkpoints into run folders, and back",
    prepare="write MNIST, CIFAR-10 or a folder of images as a TFDS dataset",
    benchmark="measure speed, FLOPs and memory of training and sampling",
    scaling="predict and measure how a run scales over devices",
    compile="compile for TPUs and GPUs that are not there: memory, time, fit",
    figures="draw the figures that explain the methods",
    configs="list the configs that come with the package",
    fields="list the fields of a config with their meaning",
    digits="quality of 8x8 digit samples",
    modes="mode coverage of samples of 25 Gaussians or stacked MNIST",
    classifier="train a classifier whose features evaluate samples",
    inception="convert the published weights of FID's Inception-v3",
    lpips="convert the published weights of LPIPS",
    vgg16="convert the published weights of VGG16, for precision and recall",
    metrics_cost="time and memory of the metrics",
)

_EXAMPLES = """\
Train, then draw samples:
  python -m ddgan_jax train --config=ddgan_digits --workdir=runs/digits
  python -m ddgan_jax sample --workdir=runs/digits --num_images=100
Change any field of the config:
  ... --config.optim.gen.learning_rate=1e-4 --config.train.duration="20 epochs"
Evaluate a run:
  python -m ddgan_jax evaluate --workdir=runs/digits --config.eval.num_samples=1500
The flags of a command:
  python -m ddgan_jax sample --help"""


def overview() -> str:
    """The text of --help without a command."""
    width = max(map(len, COMMANDS))
    commands = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    statuses = [f"  {status:>3}  {status.meaning}" for status in Status]
    return "\n".join(
        [
            "usage: python -m ddgan_jax [COMMAND] [--flag=value ...] [--config.FIELD=value ...]",
            "",
            "Denoising diffusion GANs and their family. ddgan COMMAND and",
            "python -m ddgan_jax.main --mode=COMMAND are the same command.",
            "",
            "commands:",
            *commands,
            "",
            _EXAMPLES,
            "",
            "On several hosts, start the same command on each. On TPU pods, Slurm and Open MPI",
            "they find each other; elsewhere add --coordinator, see train --help.",
            "",
            "exit status:",
            *statuses,
        ]
    )


def parser_of(name: str) -> Parser:
    """The parser of a command."""
    module = _module(name)
    parser = Parser(name, (module.__doc__ or "").strip())
    module.add_flags(parser)
    return parser


def commands_with(flag: str) -> list[str]:
    """The commands that have a flag."""
    return [name for name in COMMANDS if flag in parser_of(name).flags()]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
      argv: arguments without the program's name; those of the process if None.

    Returns:
      The exit status, see `exit_status.Status`.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    return run_command(lambda: _run(given), debug="--debug" in given)


def run_and_exit(command: str = "") -> NoReturn:
    """Run a command with the arguments of this process, and end the process.

    Args:
      command: its name, if it is not among the arguments.
    """
    signals.install()
    environment.keep_all_frames()
    environment.prepare_output()
    report_in_threads()
    environment.ignore_closed_event_loops()
    argv = [*filter(None, [command]), *sys.argv[1:]]
    signals.raise_from_now_on(True)
    try:
        status = run_command(lambda: _run(argv), process_ends=True, debug="--debug" in argv)
    finally:
        signals.raise_from_now_on(False)
    leave(finished(status))


def leave(status: int) -> NoReturn:
    """End this process.

    After a failure it ends without the cleanup of libraries, which would wait for other processes
    of the run, or crash in what compiled code still does. Several processes that all stop at a
    checkpoint, after a signal, end in order.
    """
    if "ddgan_jax.parallel.distributed" in sys.modules:
        from ddgan_jax.parallel import distributed

        stopped_together = status > 128 and not signals.received()
        distributed.leave(status, in_order=status == 0 or stopped_together)
    if status:
        os._exit(status)
    sys.exit(status)


def _module(name: str) -> Any:
    return importlib.import_module(COMMANDS[name].module)


def _run(argv: Sequence[str]) -> int:
    name, rest = _split_command(argv)
    if "--version" in rest:
        print(f"ddgan_jax {ddgan_jax.__version__}")
        return Status.DONE
    if not name and not {"--help", "-h"}.isdisjoint(rest):
        print(overview())
        return Status.DONE
    name = name or "train"
    args = parser_of(name).parse(rest, commands_with)
    environment.use_compilation_cache()
    return int(_module(name).run(args))


def _split_command(argv: Sequence[str]) -> tuple[str, list[str]]:
    """The name of the command, "" if none is given, and the other arguments.

    Raises:
      UserError: there is no such command, or two are named.
    """
    rest = list(argv)
    word = rest.pop(0) if rest and not rest[0].startswith("-") else ""
    if word and word not in COMMANDS:
        raise UserError(
            f"there is no command {word!r}; one of {', '.join(COMMANDS)} is needed"
            f"{nearest(word, COMMANDS)}"
        )
    mode, others, values = "", [], iter(rest)
    for argument in values:
        flag, equals, value = argument.partition("=")
        if flag != "--mode":
            others.append(argument)
            continue
        mode = value if equals else next(values, "")
        if mode not in COMMANDS:
            raise UserError(
                f"--mode is {mode!r}; one of {', '.join(COMMANDS)} is needed"
                f"{nearest(mode, COMMANDS)}"
            )
    if word and mode and word != mode:
        raise UserError(f"--mode={mode} is not the command {word}; one of the two is needed")
    return word or mode, others
