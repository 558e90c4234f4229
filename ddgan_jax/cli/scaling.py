"""Predict and measure how a run scales over devices.

Trace one step, compile nothing, and predict its time on 1 to 256 chips:
  python -m ddgan_jax scaling --config=configs/ddgan_cifar10.py
The same for several configs, a row each:
  python -m ddgan_jax scaling configs/*_cifar10.py --autoencoder=configs/autoencoder_cifar10.py
Compile the step for 1, 2 and 8 devices of this machine, count its collectives and time it:
  JAX_NUM_CPU_DEVICES=8 python -m ddgan_jax scaling --config=configs/ddgan_digits.py --measure=1,2,8

docs/scaling.md and profiling/scaling_model.py explain the model.
"""

import argparse
import tempfile
from pathlib import Path

from ddgan_jax.cli import common
from ddgan_jax.cli.several_configs import read_several
from ddgan_jax.core.errors import UserError, nearest


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add("configs", nargs="*", metavar="CONFIG", help="config files to predict side by side")
    common.add_config(parser, "none; a config in detail")
    add(
        "--chip",
        default="TPU v5e,H100",
        metavar="NAME,...",
        help="some of TPU v4, TPU v5e, TPU v5p, TPU v6e, A100, H100, H200; default: TPU v5e,H100",
    )
    add(
        "--measure",
        type=common.positive_integers,
        default=(),
        metavar="N,...",
        help="numbers of devices of this machine: 1,2,8",
    )
    add(
        "--weak",
        action="store_true",
        help="measure with config.train.batch_size on each device (weak scaling)",
    )
    add(
        "--autoencoder",
        default="",
        metavar="CONFIG",
        help="config of the autoencoder for those in latents; no weights are needed",
    )


def run(args: argparse.Namespace) -> int:
    """Predict or measure; returns the exit status."""
    if bool(args.config) == bool(args.configs):
        raise UserError("either --config=FILE or config files to compare are needed")
    from ddgan_jax.profiling import scaling_measurement, scaling_model
    from ddgan_jax.profiling.hardware import CHIPS

    kinds = args.chip.split(",")
    for kind in kinds:
        if kind not in CHIPS:
            raise UserError(
                f"--chip is {args.chip!r}; some of {', '.join(CHIPS)} are needed"
                f"{nearest(kind, CHIPS)}"
            )
    if args.weak and not args.measure:
        raise UserError("--weak goes with --measure")
    if args.measure and args.configs:
        raise UserError("--measure takes one config, --config=FILE")
    files = args.configs or [args.config]
    with tempfile.TemporaryDirectory() as folder:
        configs = read_several(files, args.overrides, args.autoencoder, Path(folder))
        if args.configs:
            scaling_model.side_by_side(configs, kinds)
        elif args.measure:
            scaling_measurement.count_and_time(configs[args.config], args.measure, args.weak)
        else:
            scaling_model.predict(configs[args.config], kinds)
    return 0
