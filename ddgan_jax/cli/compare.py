"""Several evaluated runs on one page: index.html, comparison.md, curves and grids.

Evaluate each run first, then:
  python -m ddgan_jax compare --runs=runs/a,runs/b --out=page
"""

import argparse

from ddgan_jax.cli import common
from ddgan_jax.io.storage import local_path


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add("--runs", default="", metavar="FOLDER,FOLDER,...", help="two or more evaluated run folders")
    add("--out", default="", metavar="FOLDER", help="folder of the page")


def run(args: argparse.Namespace) -> int:
    """Write the page; returns the exit status."""
    out = common.out_of(args)
    from ddgan_jax.evaluation.compare import compare

    compare([local_path(name) for name in args.runs.split(",") if name], out)
    return 0
