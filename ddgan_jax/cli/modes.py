"""Mode coverage of samples whose modes are known.

Points of a config with data.name=gaussians25, or RGB images each of whose channels is a digit
(stacked MNIST):
  python -m ddgan_jax modes runs/toy2d/samples/samples.npz
"""

import argparse

from ddgan_jax.cli import common
from ddgan_jax.io.storage import local_path


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    parser.add_argument("samples", type=str, metavar="SAMPLES.npz", help="written by sample")


def run(args: argparse.Namespace) -> int:
    """Print one line, or two for stacked MNIST; returns the exit status."""
    from ddgan_jax.evaluation.modes import report

    for line in report(local_path(args.samples)):
        print(line)
    return 0
