r"""Convert torchvision's weights of VGG16 to one .npz, for improved precision and recall.

  python -m ddgan_jax vgg16 --source=vgg16-397923af.pth --out=vgg16.npz

The source is torchvision's file, or the same weights in a TorchScript module; names and layouts are
torchvision's, PyTorch is not needed. docs/evaluation.md says where evaluate looks for the result.
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
    """Convert; returns the exit status."""
    for flag in ("source", "out"):
        if not getattr(args, flag):
            raise UserError(f"vgg16 needs --{flag}=FILE")
    from ddgan_jax.interop.vgg16 import read_vgg16
    from ddgan_jax.interop.weight_files import content_hash, write_npz

    arrays = read_vgg16(local_path(args.source))
    write_npz(local_path(args.out), arrays)
    print(f"{args.out}: {len(arrays)} arrays, weights {content_hash(arrays)}")
    return 0
