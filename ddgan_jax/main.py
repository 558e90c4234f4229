"""Train a diffusion GAN, sample from one, or say how good it is.

Train (or go on with) a run, which lives in the folder --workdir:
  python -m ddgan_jax.main --config=configs/ddgan_digits.py --workdir=runs/digits
Change any field of the config on the way:
  ... --config.optim.gen.learning_rate=1e-4 --config.train.duration="20 epochs"
Sample from its last checkpoint; the run folder knows its config:
  python -m ddgan_jax.main --mode=sample --workdir=runs/digits --num_images=100
Of one class, where the run has them (--config.classes):
  ... --mode=sample --workdir=runs/dddg_digits --label=3
Copy what sampling needs, a fifth of a run folder, to share it:
  python -m ddgan_jax.main --mode=export --workdir=runs/digits --out=digits_to_share
The same from weights that were published as PyTorch files:
  python -m ddgan_jax.convert --help
How good it is: FID and its kin of 10,000 samples, with the whole protocol (config.eval):
  python -m ddgan_jax.main --mode=evaluate --workdir=runs/digits --config.eval.num_samples=1500
The same for images made elsewhere, compared with the data of a config:
  ... --mode=evaluate --config=configs/ddgan_cifar10.py --samples=npz:theirs.npz --out=theirs
Several evaluated runs on one page:
  python -m ddgan_jax.main --mode=compare --runs=runs/a,runs/b --out=page
Real images through the encoder and back (DDDG), with 100 steps of refinement:
  python -m ddgan_jax.main --mode=reconstruct --workdir=runs/dddg_digits --refine=100
Measure speed, FLOPs and memory of training and sampling on this machine:
  python -m ddgan_jax.main --mode=benchmark --config=configs/ddgan_cifar10.py

On several hosts, the same command on each: on TPU pods, Slurm and Open MPI they find each other;
elsewhere add --coordinator=HOST:PORT --num_processes=N --process_id=I.

Exit status: 0 done; 1 a mistake, in one line; 143 stopped by SIGTERM after saving; 75 another host
is gone. After the last two the same command goes on from the last checkpoint.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from ml_collections import ConfigDict

from ddgan_jax.config.overrides import load_config_file, override
from ddgan_jax.config.stored import read_config
from ddgan_jax.core.errors import UserError, nearest
from ddgan_jax.io.storage import place
from ddgan_jax.methods import complete_config, validate

MODES = ("train", "sample", "evaluate", "compare", "reconstruct", "benchmark", "export")


class Parser(argparse.ArgumentParser):
    """Raises a UserError instead of printing its usage and leaving."""

    def error(self, message: str) -> NoReturn:
        """Instead of argparse's own."""
        raise UserError(f"{message}; see --help")


def make_parser() -> argparse.ArgumentParser:
    """The flags of the command line, without those of the config."""
    parser = Parser(
        prog="python -m ddgan_jax.main",
        usage="python -m ddgan_jax.main [--flag=value ...] [--config.FIELD=value ...]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--config", help="config file, FILE.py or FILE.py:VARIANT; default: the run folder's own")
    add("--workdir", default="", help="run folder: made by training, read by sampling")
    add("--mode", default="train", help=f"what to do: {', '.join(MODES)}; default: train")
    add("--num_images", type=int, default=64, help="sample, reconstruct: how many; default: 64")
    add("--seed", type=int, default=0, help="sample: image i depends on (seed, i); default: 0")
    add("--label", type=int, default=-1, help="sample: the class to draw, of a class-conditional "
        "model; -1, default: each in turn")  # fmt: skip
    add("--step", type=int, default=-1, help="of the checkpoint; -1, default: the last")
    add("--out", default="", help="output folder; default: WORKDIR/samples, "
        "WORKDIR/reconstructions; evaluate: WORKDIR")  # fmt: skip
    add("--samples", default="", help="evaluate: these instead of a run's: npz:FILE or tfds:NAME")
    add("--samples_split", default="train", help="evaluate: split of --samples; default: train")
    add("--split", default="test", help="reconstruct: which part of the data; default: test")
    add("--refine", type=int, default=0, help="reconstruct: steps of descent on the latents")
    add("--refine_rate", type=float, default=0.05, help="reconstruct: its rate; default: 0.05")
    add("--runs", default="", help="compare: run folders, separated by commas")
    add("--coordinator", default="auto", help="multi-host: HOST:PORT of process 0; auto, default: "
        "as the cluster says (TPU pods, Slurm, Open MPI); none: this process is alone")  # fmt: skip
    add("--num_processes", type=int, default=1, help="with HOST:PORT: how many processes")
    add("--process_id", type=int, default=0, help="with HOST:PORT: which one this is")
    return parser


def split_overrides(argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Arguments without `--config.FIELD=VALUE` (or `--config.FIELD VALUE`), and {FIELD: VALUE}.

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


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, ConfigDict | None]:
    """Flags and config (None: sample with the run folder's own, unchanged).

    Raises:
      UserError: anything that is wrong with them.
    """
    others, changes = split_overrides(argv)
    values = make_parser().parse_args(others)
    check_flags(values)
    if values.mode == "compare":
        return values, None
    if values.config is not None:
        config = complete_config(load_config_file(values.config))
    elif not values.workdir:
        raise UserError("--config=FILE is needed, for example --config=configs/ddgan_digits.py")
    elif values.mode in ("sample", "export", "reconstruct") and not changes:
        return values, None
    else:
        config = complete_config(read_config(place(values.workdir)))
    config = override(config, changes)
    return values, validate(config)


def check_flags(values: argparse.Namespace) -> None:
    """Raise a UserError for flags that do not make sense together."""
    if values.mode not in MODES:
        raise UserError(
            f"--mode is {values.mode!r}; one of {', '.join(MODES)} is needed"
            + nearest(values.mode, MODES)
        )
    elsewhere = values.mode in ("benchmark", "compare") or values.samples
    if not values.workdir and not elsewhere:
        raise UserError(f"--mode={values.mode} needs --workdir=FOLDER")
    if not values.out and (values.mode in ("export", "compare") or values.samples):
        raise UserError(f"--mode={values.mode} needs --out=FOLDER here")
    if values.samples and values.mode != "evaluate":
        raise UserError(f"--samples={values.samples} goes with --mode=evaluate alone")
    if "://" in values.out:
        raise UserError(f"--out={values.out}: a folder on a disk is needed")
    if "://" in values.workdir and not values.out and values.mode not in ("train", "benchmark"):
        raise UserError(f"--mode={values.mode} of --workdir={values.workdir} needs --out=FOLDER")
    if values.num_images < 1:
        raise UserError(f"--num_images is {values.num_images}; a positive number is needed")
    if not 0 <= values.seed < 2**32:
        raise UserError(f"--seed is {values.seed}; an integer in [0, 2^32) is needed")
    if values.label < -1:
        raise UserError(f"--label is {values.label}; a class, or -1 for each in turn, is needed")
    if values.step < -1:
        raise UserError(f"--step is {values.step}; a saved step, or -1 for the last, is needed")
    if values.refine < 0:
        raise UserError(f"--refine is {values.refine}; a number of steps >= 0 is needed")
    if not 0 < values.refine_rate < float("inf"):
        raise UserError(f"--refine_rate is {values.refine_rate}; a positive number is needed")
    count, index, coordinator = values.num_processes, values.process_id, values.coordinator
    if not 0 <= index < count:
        raise UserError(
            f"--process_id is {index} of --num_processes={count}; 0 <= ID < N is needed"
        )
    if count > 1 and coordinator in ("auto", "none"):
        raise UserError(f"--num_processes={count} needs --coordinator=HOST:PORT")
    port = coordinator.rpartition(":")[2]
    if coordinator not in ("auto", "none") and not (":" in coordinator and port.isdecimal()):
        raise UserError(f"--coordinator is {coordinator!r}; HOST:PORT, auto or none is needed")


def quieten() -> None:
    """Orbax logs the traceback of whatever it raises; here a failure is one line, see `main`."""
    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.FATAL)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)


def run(argv: Sequence[str]) -> int:
    """Parse, start the devices, do what --mode says; returns the exit status."""
    values, config = parse(argv)
    # The modes import jax's users late: mistakes above answer at once.
    import jax

    from ddgan_jax.parallel.distributed import start_distributed

    quieten()
    if getattr(jax.config, "jax_compilation_cache_dir", None) is None:
        jax.config.update(
            "jax_compilation_cache_dir", str(Path.home() / ".cache" / "ddgan_jax" / "compiled")
        )
    if values.mode not in ("compare", "export"):  # they use no device
        start_distributed(values.coordinator, values.num_processes, values.process_id)
    workdir = place(values.workdir)
    step = None if values.step < 0 else values.step
    if values.mode == "export":
        from ddgan_jax.inference.export import export

        return export(workdir, Path(values.out), step)
    if values.mode == "sample":
        from ddgan_jax.inference.sample import sample_to_folder

        out = Path(values.out or workdir / "samples")
        return sample_to_folder(
            workdir,
            out,
            values.num_images,
            values.seed,
            label=None if values.label < 0 else values.label,
            step=step,
            config=config,
        )
    if values.mode == "reconstruct":
        from ddgan_jax.evaluation.reconstruct import reconstruct

        return reconstruct(
            config,
            workdir,
            Path(values.out or workdir / "reconstructions"),
            values.num_images,
            split=values.split,
            refine=values.refine,
            rate=values.refine_rate,
            seed=values.seed,
            step=step,
        )
    if values.mode == "compare":
        from ddgan_jax.evaluation.compare import compare

        folders = [Path(name) for name in values.runs.split(",") if name]
        return compare(folders, Path(values.out))
    assert config is not None  # check_flags saw to it
    if values.mode == "evaluate":
        from ddgan_jax.evaluation.evaluate import evaluate, evaluate_source

        if values.samples:
            folder = Path(values.out)
            return evaluate_source(config, values.samples, values.samples_split, folder)
        return evaluate(config, workdir, Path(values.out or workdir), step)
    if values.mode == "benchmark":
        from ddgan_jax.profiling.benchmark import benchmark

        return benchmark(config)
    from ddgan_jax.training.loop import train

    return train(config, workdir)


def main(argv: Sequence[str] | None = None, command: Callable[[Sequence[str]], int] = run) -> int:
    """The command line: what a user can mend is one line on stderr and exit status 1.

    Args:
      argv: arguments without the program's name; those of the process if None.
      command: what to do with them.
    """
    try:
        return command(sys.argv[1:] if argv is None else argv)
    except UserError as error:
        if lost := _lost(error.__cause__):
            return lost
        print("error:", " ".join(str(error).split()), file=sys.stderr)
    except RuntimeError as error:  # as jax reports it; anything else is a bug and shows its trace
        if lost := _lost(error):
            return lost
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        print(
            "error: out of device memory; a smaller config.train.batch_size, a larger "
            "config.train.accumulate, config.train.fsdp=true on several devices or "
            "config.gen.remat=true is needed",
            file=sys.stderr,
        )
    except OSError as error:  # full disk, lost permission, ...
        where = f": {error.filename}" if error.filename else ""
        print(f"error: {error.strerror or error}{where}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    except SystemExit as done:  # --help
        return int(done.code or 0)
    return 1


def _lost(error: BaseException | None) -> int:
    """The exit status if the error says that another process is gone, after a line; else 0."""
    if error is None or "jax" not in sys.modules:
        return 0
    from ddgan_jax.parallel import distributed

    if not distributed.is_loss(error):
        return 0
    reason = " ".join(str(error).split())[:120]
    print(
        "error: another process of this run is gone; the last checkpoint is kept, the same command "
        f"on all hosts goes on from it ({reason})",
        file=sys.stderr,
    )
    return distributed.LOST


if __name__ == "__main__":
    # After an error the coroutines that orbax did not finish are thrown away, with many words.
    sys.unraisablehook = lambda unraisable: None
    status = main()
    if "jax" in sys.modules:
        from ddgan_jax.parallel.distributed import leave

        leave(status)
    sys.exit(status)
