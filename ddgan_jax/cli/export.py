"""Copy what sampling needs from a run folder, about a fifth of it.

To share a run:
  python -m ddgan_jax export --workdir=runs/digits --out=digits_to_share
Sample from the copy:
  python -m ddgan_jax sample --workdir=digits_to_share
"""

import argparse

from ddgan_jax.cli import common
from ddgan_jax.core.errors import UserError


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    common.add_workdir(parser)
    common.add_plugins(parser)
    parser.add_argument("--out", default="", metavar="FOLDER", help="the folder to make")
    common.add_step(parser)


def run(args: argparse.Namespace) -> int:
    """Copy; returns the exit status."""
    workdir = common.workdir_of(args)
    if not args.out:
        raise UserError("export needs --out=FOLDER")
    out = common.out_of(args)
    from ddgan_jax.inference.export import export

    export(workdir, out, common.step_of(args))
    return 0
