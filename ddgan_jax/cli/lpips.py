"""Convert the published weights of LPIPS-VGG v0.1 to one .npz.

  python -m ddgan_jax lpips --vgg=vgg16-397923af.pth --heads=vgg.pth --out=lpips_vgg16.npz

--vgg is torchvision's VGG16 for ImageNet, --heads the file weights/v0.1/vgg.pth of the LPIPS
project; PyTorch is not needed.
"""

import argparse

from ddgan_jax.cli import common
from ddgan_jax.core.errors import UserError
from ddgan_jax.io.storage import local_path


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add("--vgg", default="", metavar="FILE.pth", help="torchvision's VGG16")
    add("--heads", default="", metavar="FILE.pth", help="the linear heads of LPIPS v0.1, vgg.pth")
    add("--out", default="", metavar="FILE.npz", help="the file to write")


def run(args: argparse.Namespace) -> int:
    """Convert; returns the exit status."""
    for flag in ("vgg", "heads", "out"):
        if not getattr(args, flag):
            raise UserError(f"lpips needs --{flag}=FILE")
    from ddgan_jax.interop.lpips import read_published
    from ddgan_jax.interop.weight_files import content_hash, write_npz

    arrays = read_published(local_path(args.vgg), local_path(args.heads))
    write_npz(local_path(args.out), arrays)
    print(f"{args.out}: {len(arrays)} arrays, weights {content_hash(arrays)}")
    return 0
