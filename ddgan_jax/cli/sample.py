"""Draw samples from a run: samples.png and samples.npz, or a file for each image.

From the last checkpoint:
  python -m ddgan_jax sample --workdir=runs/digits --num_images=100
A file for each of the seeds 0 to 99; the names have seed and step:
  python -m ddgan_jax sample --workdir=runs/digits --format=png --seeds=0-99
One class of a class-conditional run (config.classes):
  python -m ddgan_jax sample --workdir=runs/dddg_digits --label=3
Samples of less variety and higher quality, of a run with StyleGAN2's generator:
  python -m ddgan_jax sample --workdir=runs/diffusion_stylegan2_digits --truncation=0.7
From the weights that the package ships, or published ones (see convert --help):
  python -m ddgan_jax sample --workdir=pretrained://dddg_mnist28 --out=samples
"""

import argparse

from ddgan_jax.cli import common, environment
from ddgan_jax.core.errors import UserError


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    common.add_workdir(parser)
    common.add_config(parser)
    add = parser.add_argument
    add("--num_images", type=common.integer(1), default=None, help="number of samples; default: 64")
    add(
        "--seed",
        type=common.SEED,
        default=0,
        help="sample i depends on (seed, i) alone; default: 0",
    )
    add(
        "--seeds",
        type=common.seeds,
        default=(),
        metavar="SEEDS",
        help="such as 0-99 or 3,7: one sample for each, the first of that seed, instead of "
        "--num_images of --seed",
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
    add(
        "--format",
        type=common.one_of("grid", "png"),
        default="grid",
        help="grid: samples.png and samples.npz; png: a file for each image; default: grid",
    )
    add(
        "--weights",
        type=common.one_of("average", "raw"),
        default="average",
        help="average: the moving average of the weights; raw: those of the last step; default: "
        "average",
    )
    add(
        "--columns",
        type=common.integer(1, 1024),
        default=0,
        help="images in a row of the grid; default: one for each class, or else a square",
    )
    add("--out", default="", metavar="FOLDER", help="output folder; default: WORKDIR/samples")
    common.add_step(parser)
    common.add_distributed(parser)


def run(args: argparse.Namespace) -> int:
    """Write the samples; returns the exit status."""
    if args.seeds and args.num_images:
        raise UserError(
            f"--num_images={args.num_images} goes with --seed; --seeds has one sample for each"
        )
    if args.seeds and args.seed:
        raise UserError(f"--seed={args.seed} and --seeds exclude each other")
    if args.format == "png" and args.columns:
        raise UserError(f"--columns={args.columns} is for a grid; --format=png writes none")
    workdir, out = common.run_of(args), common.out_of(args, "samples")
    common.check_distributed(args)
    config = common.read_changes(args)
    environment.join(args)
    from ddgan_jax.inference.sample import Wanted, sample_to_folder

    label = None if args.label < 0 else args.label
    sample_to_folder(
        workdir,
        out,
        Wanted(args.num_images or Wanted.count, args.seed, args.seeds, label, args.truncation),
        files=args.format,
        columns=args.columns,
        raw=args.weights == "raw",
        step=common.step_of(args),
        config=config,
    )
    return 0
