"""Quality of generated 8x8 digits, next to held-out real ones.

  python -m ddgan_jax digits runs/digits/samples/samples.npz

Confidence of a classifier of digits, the balance of the ten classes, and the distance to the
nearest training digit; evaluation/digits.py explains them.
"""

import argparse

from ddgan_jax.cli import common
from ddgan_jax.io.storage import local_path


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    parser.add_argument("samples", type=str, metavar="SAMPLES.npz", help="written by sample")


def run(args: argparse.Namespace) -> int:
    """Print a table; returns the exit status."""
    from ddgan_jax.evaluation.digits import read_digits, report

    for line in report(read_digits(local_path(args.samples))):
        print(line)
    return 0
