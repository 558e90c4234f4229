"""Train a classifier of small gray images, whose features evaluate samples (config.eval).

The two that come with the package were made by these commands:
  python -m ddgan_jax classifier --data=tfds:mnist --size=32 --out=mnist.npz
  python -m ddgan_jax classifier --data=digits --out=digits.npz
Evaluate with one of your own:
  ... --config.eval.extractors=FILE.npz
"""

import argparse

from ddgan_jax.cli import common
from ddgan_jax.core.errors import UserError
from ddgan_jax.io.storage import local_path


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add(
        "--data", default="", metavar="NAME", help="data.name of a set with labels and a test split"
    )
    add("--data_dir", default="", metavar="FOLDER", help="data.dir: where TFDS data lies")
    add(
        "--size",
        type=common.integer(0),
        default=0,
        help="size of the network's images, 8..32; default: that of the data",
    )
    add("--out", default="", metavar="FILE.npz", help="file of the weights")
    add(
        "--steps",
        type=common.integer(1),
        default=4000,
        help="training steps of 128 images; default: 4000",
    )
    add("--seed", type=common.SEED, default=0, help="default: 0")


def run(args: argparse.Namespace) -> int:
    """Train, test and write; returns the exit status."""
    for flag in ("data", "out"):
        if not getattr(args, flag):
            raise UserError(f"classifier needs --{flag}")
    from ddgan_jax.training.classifier import make_classifier

    make_classifier(
        args.data,
        local_path(args.out),
        data_dir=args.data_dir,
        size=args.size,
        steps=args.steps,
        seed=args.seed,
    )
    return 0
