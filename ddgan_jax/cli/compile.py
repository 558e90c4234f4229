"""Compile the programs of configs for TPUs and GPUs that are not there, and say what they cost.

On a machine with a CPU only:
  python -m ddgan_jax compile configs/ddgan_cifar10.py --target=h100 --config.dtype=bfloat16
  python -m ddgan_jax compile configs/ddgan_cifar10.py --target=v5e:2x4,v6e:2x4 --out=compiled
The train step only, for several configs:
  python -m ddgan_jax compile configs/*ddgan_cifar10.py --target=h100 --programs=train

TPU targets need libtpu, pip install 'ddgan_jax[tpu-compile]', and take minutes to hours; GPU
targets need pip install 'ddgan_jax[gpu-compile]', and take minutes. docs/accelerators.md explains
the figures. A program that does not fit is compiled again with changes of the config, and the
exit status is 1.
"""

import argparse
import tempfile
from pathlib import Path

from ddgan_jax.cli import common
from ddgan_jax.cli.several_configs import read_several
from ddgan_jax.core.errors import UserError, nearest
from ddgan_jax.io.storage import local_path


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add("configs", nargs="*", metavar="CONFIG", help="config files")
    common.add_config(parser, "none; the same as naming it as CONFIG")
    add(
        "--target",
        default="",
        metavar="NAME,...",
        help="TPU slices such as v5e:2x4, v6e:4x4, v4:2x2x1, v5p:2x2x1; GPUs: h100, a100, h200, "
        "or several, h100:8",
    )
    add(
        "--programs",
        default="",
        metavar="NAME,...",
        help="some of train, regularized (the step with R1), sample, features (the feature network "
        "of the evaluation); default: all",
    )
    add(
        "--autoencoder",
        default="",
        metavar="CONFIG",
        help="config of the autoencoder for configs in latents; no weights are needed",
    )
    add(
        "--cache",
        default="",
        metavar="FOLDER",
        help="keep what was compiled in this folder, a compilation cache of jax that can be "
        "carried to the accelerators; default: it is not kept",
    )
    add(
        "--out",
        default="",
        metavar="FOLDER",
        help="folder for compile.json and the HLO of every program; default: nothing is written",
    )


def run(args: argparse.Namespace) -> int:
    """Compile; returns the exit status."""
    files = [*args.configs, *filter(None, [args.config])]
    if not files:
        raise UserError("config files are needed: compile CONFIG ... --target=h100")
    if not args.target:
        raise UserError("compile needs --target, such as --target=v5e:2x4 or --target=h100")
    from ddgan_jax.profiling.targets import check_target, use_cpu

    targets = args.target.split(",")
    for target in targets:
        check_target(target)
    use_cpu(args.cache and str(local_path(args.cache)))
    from ddgan_jax.cli.exit_status import Status
    from ddgan_jax.profiling.compilation import compile_configs
    from ddgan_jax.profiling.programs import PROGRAMS

    names = args.programs.split(",") if args.programs else PROGRAMS
    for name in names:
        if name not in PROGRAMS:
            raise UserError(
                f"--programs is {args.programs!r}; some of {', '.join(PROGRAMS)} are needed"
                f"{nearest(name, PROGRAMS)}"
            )
    out = common.out_of(args) if args.out else None
    with tempfile.TemporaryDirectory() as folder:
        configs = read_several(files, args.overrides, args.autoencoder, Path(folder))
        fits = compile_configs(
            configs, targets, names, out, say=lambda line: print(line, flush=True)
        )
    return Status.DONE if fits else Status.MISTAKE
