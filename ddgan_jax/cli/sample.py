"""Draw samples from a run: samples.png and samples.npz.

From the last checkpoint:
  python -m ddgan_jax sample --workdir=runs/digits --num_images=100
One class of a class-conditional run (config.classes):
  python -m ddgan_jax sample --workdir=runs/dddg_digits --label=3
Samples of less variety and higher quality, of a run with StyleGAN2's generator:
  python -m ddgan_jax sample --workdir=runs/diffusion_stylegan2_digits --truncation=0.7
From the weights that the package ships, or published ones (see convert --help):
  python -m ddgan_jax sample --workdir=ddgan_jax/pretrained/ddgan_digits --out=samples
"""

import argparse

from ddgan_jax.cli import common, environment


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    common.add_workdir(parser)
    common.add_config(parser)
    add = parser.add_argument
    add("--num_images", type=common.integer(1), default=64, help="number of samples; default: 64")
    add(
        "--seed",
        type=common.SEED,
        default=0,
        help="sample i depends on (seed, i) alone; default: 0",
    )
    add(
        "--label",
        type=common.integer(-1, allowed="a class, or -1 for each in turn,"),
        default=-1,
        help="class to draw, in a class-conditional run; default: each in turn",
    )
    add(
        "--truncation",
        type=common.number(0, 2),
        default=1.0,
        metavar="PSI",
        help="w_average + PSI (w - w_average), for generators with styles; default: 1, none",
    )
    add("--out", default="", metavar="FOLDER", help="output folder; default: WORKDIR/samples")
    common.add_step(parser)
    common.add_distributed(parser)


def run(args: argparse.Namespace) -> int:
    """Write the samples; returns the exit status."""
    workdir, out = common.workdir_of(args), common.out_of(args, "samples")
    common.check_distributed(args)
    config = common.read_changes(args)
    environment.join(args)
    from ddgan_jax.inference.sample import sample_to_folder

    sample_to_folder(
        workdir,
        out,
        args.num_images,
        args.seed,
        label=None if args.label < 0 else args.label,
        psi=args.truncation,
        step=common.step_of(args),
        config=config,
    )
    return 0
