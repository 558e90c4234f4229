"""Measure speed, FLOPs and memory of training and sampling on this machine.

A config in detail:
  python -m ddgan_jax benchmark --config=configs/ddgan_cifar10.py
What sampling costs for several DDGANs, whatever space they work in, side by side:
  python -m ddgan_jax benchmark configs/ddgan_cifar10.py configs/wddgan_cifar10.py --batch_size=4
Whether data, logs and checkpoints of this machine keep up with an accelerator's step of 37 ms:
  python -m ddgan_jax benchmark --config=configs/ddgan_cifar10.py --step_ms=37

FLOPs are those of the program before optimization, as XLA counts them: the work that the method
needs, whatever kernels run it. MFU is FLOPs over time and the peak of the devices.
"""

import argparse
import tempfile
from pathlib import Path

from ddgan_jax.cli import common, environment
from ddgan_jax.cli.several_configs import read_several
from ddgan_jax.core.errors import UserError

_SIDE_BY_SIDE = ("image_size", "batch_size", "trials", "autoencoder")


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add("configs", nargs="*", metavar="CONFIG", help="config files to compare side by side")
    common.add_config(parser)
    common.add_workdir(parser, "run folder whose config to measure")
    also = "side by side: "
    add("--image_size", type=common.integer(1), help=f"{also}instead of that of the configs")
    add("--batch_size", type=common.integer(1), help=f"{also}samples at a time; default: 4")
    add(
        "--trials",
        type=common.integer(0),
        help=f"{also}number of runs whose median is printed, default: 5; 0 counts FLOPs only",
    )
    add(
        "--autoencoder",
        metavar="CONFIG",
        help=f"{also}config of the autoencoder for those in latents; no weights are needed",
    )
    add("--step_ms", type=common.number(0, 1e6), help="train with a step that only takes so long")
    add("--steps", type=common.integer(20), help="steps of such a training; default: 400")
    common.add_distributed(parser)


def run(args: argparse.Namespace) -> int:
    """Measure; returns the exit status."""
    common.check_distributed(args)
    common.check_one_config(args)
    if not args.configs:
        for flag in _SIDE_BY_SIDE:
            if getattr(args, flag) is not None:
                raise UserError(f"--{flag} needs config files to compare: benchmark CONFIG CONFIG")
        config = common.read_config(args)
        environment.join(args)
        if args.step_ms is not None:
            from ddgan_jax.profiling.host import host

            host(config, args.step_ms / 1e3, args.steps or 400)
            return 0
        if args.steps is not None:
            raise UserError("--steps needs --step_ms")
        from ddgan_jax.profiling.benchmark import benchmark

        benchmark(config)
        return 0
    if args.step_ms is not None or args.steps is not None:
        raise UserError("--step_ms and --steps need --config=FILE")
    if args.config or args.workdir:
        raise UserError("either --config=FILE or config files to compare are needed")
    overrides = dict(args.overrides)
    if args.image_size:
        overrides["data.image_size"] = str(args.image_size)
    environment.join(args)
    from ddgan_jax.profiling.sampling_cost import compare_sampling

    with tempfile.TemporaryDirectory() as folder:
        configs = read_several(args.configs, overrides, args.autoencoder or "", Path(folder))
        trials = 5 if args.trials is None else args.trials
        compare_sampling(
            configs, args.batch_size or 4, trials, say=lambda line: print(line, flush=True)
        )
    return 0
