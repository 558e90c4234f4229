"""Encode real images and decode them again: errors, arrays and figures.

For methods that invert (DDDG, the autoencoder), with 100 steps of refinement:
  python -m ddgan_jax reconstruct --workdir=runs/dddg_digits --refine=100
"""

import argparse

from ddgan_jax.cli import common, environment
from ddgan_jax.core.errors import UserError


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    common.add_workdir(parser)
    common.add_config(parser)
    add = parser.add_argument
    add("--num_images", type=common.integer(1), default=64, help="number of images; default: 64")
    add("--split", default="test", help="split of the data; default: test")
    add(
        "--refine",
        type=common.integer(0, allowed="a number of steps >= 0"),
        default=0,
        metavar="STEPS",
        help="steps of gradient descent on the latents; default: 0",
    )
    add(
        "--refine_rate",
        type=common.positive_number,
        metavar="RATE",
        help="learning rate of --refine; default: 0.05",
    )
    add("--seed", type=common.SEED, default=0, help="seed of the samples in path.png; default: 0")
    out = "output folder; default: WORKDIR/reconstructions"
    add("--out", default="", metavar="FOLDER", help=out)
    common.add_step(parser)
    common.add_distributed(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and draw; returns the exit status."""
    workdir, out = common.run_of(args), common.out_of(args, "reconstructions")
    common.check_distributed(args)
    if args.refine_rate and not args.refine:
        raise UserError(f"--refine_rate={args.refine_rate} needs --refine=STEPS")
    config = common.read_changes(args)
    environment.join(args)
    from ddgan_jax.evaluation.reconstruct import reconstruct

    rate = {"rate": args.refine_rate} if args.refine_rate else {}
    reconstruct(
        config,
        workdir,
        out,
        args.num_images,
        split=args.split,
        refine=args.refine,
        seed=args.seed,
        step=common.step_of(args),
        **rate,
    )
    return 0
