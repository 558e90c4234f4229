r"""Convert the published weights of FID's Inception-v3 to one .npz.

  python -m ddgan_jax inception --source=pt_inception-2015-12-05-6726825d.pth \
      --out=inception_fid.npz

The PyTorch file is rewritten, names and layouts kept; PyTorch is not needed. docs/evaluation.md
says where evaluate looks for the result.
"""

import argparse

from ddgan_jax.cli import common
from ddgan_jax.core.errors import UserError
from ddgan_jax.io.storage import local_path


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add("--source", default="", metavar="FILE.pth", help="the published file")
    add("--out", default="", metavar="FILE.npz", help="the file to write")


def run(args: argparse.Namespace) -> int:
    r"""Convert; returns the exit status."""
    for flag in ("source", "out"):
        if not getattr(args, flag):
            raise UserError(f"inception needs --{flag}=FILE")
    from ddgan_jax.interop.inception import read_inception
    from ddgan_jax.interop.weight_files import content_hash, write_npz

    arrays = read_inception(local_path(args.source))
    write_npz(local_path(args.out), arrays)
    print(f"{args.out}: {len(arrays)} arrays, weights {content_hash(arrays)}")
    return 0
