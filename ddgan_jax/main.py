"""Train a diffusion GAN, or sample from one.

Train (or go on with) a run, which lives in the folder --workdir:
  python -m ddgan_jax.main --config=configs/ddgan_digits.py --workdir=runs/digits
Change any field of the config on the way:
  ... --config.optim.gen.learning_rate=1e-4 --config.train.duration="20 epochs"
Sample from its last checkpoint; the run folder knows its config:
  python -m ddgan_jax.main --mode=sample --workdir=runs/digits --num_images=100
Measure speed, FLOPs and memory of training and sampling on this machine:
  python -m ddgan_jax.main --mode=benchmark --config=configs/ddgan_cifar10.py

On several hosts, the same command on each with --coordinator=auto (TPU pods, Slurm), or with
--coordinator=HOST:PORT --num_processes=N --process_id=I.
"""

import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from ddgan_jax import mesh, run_folder
from ddgan_jax.config import flatten
from ddgan_jax.errors import UserError, nearest

MODES = ("train", "sample", "benchmark")
RUN_CONFIG = Path(__file__).with_name("run_config.py")


def define_flags() -> tuple[flags.FlagValues, Any]:
    """The flags of the command line, in a registry of their own."""
    values = flags.FlagValues()
    text = functools.partial(flags.DEFINE_string, flag_values=values)
    number = functools.partial(flags.DEFINE_integer, flag_values=values)
    config = config_flags.DEFINE_config_file(
        "config", None, "config file, FILE.py or FILE.py:VARIANT", flag_values=values
    )
    text("workdir", "", "run folder: made by training, read by sampling")
    text("mode", "train", f"what to do: {', '.join(MODES)}")
    number("num_images", 64, "sample: how many, any number")
    number("seed", 0, "sample: of the noise; image i depends on (seed, i)")
    number("step", -1, "sample: step of the checkpoint; -1: the last")
    text("out", "", "sample: output folder; default: WORKDIR/samples")
    text("coordinator", "", "multi-host: HOST:PORT of process 0, or auto")
    number("num_processes", 1, "multi-host: how many processes")
    number("process_id", 0, "multi-host: which one this is")
    return values, config


def help_text() -> str:
    """What --help prints: how to use it, then the flags, then the fields of every config."""
    values, _ = define_flags()
    lines = [
        f"  --{name:<14} {values[name].help}"
        + (f" (default: {values[name].default})" if values[name].default not in (None, "") else "")
        for name in values
        if name not in ("flagfile", "undefok")
    ]
    return f"{__doc__}\nflags:\n" + "\n".join(lines)


def parse(argv: Sequence[str]) -> tuple[flags.FlagValues, ConfigDict | None]:
    """Flags and config (None: the run folder's own is to be used unchanged).

    Raises:
      UserError: unknown flag, unknown config field, wrong type, config file that does not load.
    """
    values, config = define_flags()
    argv = list(argv)
    given = [a for a in argv if a.partition("=")[0].lstrip("-") == "config"]
    if not given:  # the run folder is the config
        workdir = _value_of(argv, "workdir")
        if workdir and (any("config." in a for a in argv) or _value_of(argv, "mode") != "sample"):
            if not (Path(workdir) / "config.json").exists():
                run_folder.load_config(Path(workdir))  # raises with the way out
            argv.insert(1, f"--config={RUN_CONFIG}:{workdir}")
    try:
        rest = values(argv)
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"--config: {error.filename or error} does not exist") from None
    except (AttributeError, KeyError) as error:
        raise UserError(_unknown_field(argv, config) or f"--config: {error}") from None
    except (flags.Error, ValueError, TypeError) as error:
        message = str(error).strip().replace("\n", " ")
        raise UserError(_unknown_field(argv, config) or message) from None
    except Exception as error:  # the config file is the user's program: it may raise anything
        raise UserError(f"the config file fails: {type(error).__name__}: {error}") from error
    if len(rest) > 1:
        raise UserError(f"{rest[1]!r} is no flag; see --help")
    return values, config.value


def _value_of(argv: Sequence[str], name: str) -> str:
    for i, argument in enumerate(argv):
        flag, equals, value = argument.partition("=")
        if flag.lstrip("-") == name and flag.startswith("-"):
            return value if equals else next(iter(argv[i + 1 : i + 2]), "")
    return ""


def _unknown_field(argv: Sequence[str], config: Any) -> str:
    """A line for the first `--config.x` that the config does not have, or ""."""
    try:
        known = flatten(config.value)
    except Exception:  # the config itself did not load
        return ""
    for argument in argv:
        if argument.lstrip("-").startswith("config."):
            field = argument.lstrip("-").partition("=")[0].removeprefix("config.")
            if field not in known:
                return f"config.{field} is unknown{nearest(field, known)}"
    return ""


def check_flags(values: flags.FlagValues, config: ConfigDict | None) -> None:
    """Raise a UserError for flags that do not make sense together."""
    if values.mode not in MODES:
        raise UserError(
            f"--mode is {values.mode!r}; one of {', '.join(MODES)} is needed"
            + nearest(values.mode, MODES)
        )
    if not values.workdir and values.mode != "benchmark":
        raise UserError(f"--mode={values.mode} needs --workdir=FOLDER")
    if config is None and values.mode != "sample":
        raise UserError("--config=FILE is needed, for example --config=configs/ddgan_digits.py")
    if values.num_images < 1:
        raise UserError(f"--num_images is {values.num_images}; a positive number is needed")


def run(argv: Sequence[str]) -> int:
    """Parse, start the devices, do what --mode says; returns the exit status."""
    values, config = parse(argv)
    check_flags(values, config)
    # The modes import jax's users late: mistakes above answer at once.
    import jax

    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update(
            "jax_compilation_cache_dir", str(Path.home() / ".cache" / "ddgan_jax" / "compiled")
        )
    if values.coordinator:
        mesh.start_distributed(values.coordinator, values.num_processes, values.process_id)
    workdir = Path(values.workdir)
    if values.mode == "sample":
        from ddgan_jax.sample import sample_to_folder

        out = Path(values.out) if values.out else workdir / "samples"
        step = None if values.step < 0 else values.step
        return sample_to_folder(
            workdir, out, values.num_images, values.seed, step=step, config=config
        )
    assert config is not None  # check_flags saw to it
    if values.mode == "benchmark":
        from ddgan_jax.benchmark import benchmark

        return benchmark(config)
    from ddgan_jax.train import train

    return train(config, workdir)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line: what a user can mend is one line on stderr and exit status 1."""
    argv = list(sys.argv if argv is None else argv)
    if any(a in ("--help", "-h", "-help", "--h") for a in argv[1:]):
        print(help_text())
        return 0
    try:
        return run(argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:  # full disk, lost permission, ...
        where = f": {error.filename}" if error.filename else ""
        print(f"error: {error.strerror or error}{where}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
