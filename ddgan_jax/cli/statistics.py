"""Write the reference statistics of a data set: mean and covariance of Inception's features.

  python -m ddgan_jax statistics --config=ddgan_cifar10 --out=cifar10.npz

The data are those of config.data and config.eval.split, the feature network that of
config.eval.extractors. evaluate --reference=FILE, pytorch-fid and EDM read the file.
"""

import argparse

from ddgan_jax.cli import common, environment
from ddgan_jax.core.errors import UserError
from ddgan_jax.io.storage import local_path


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    common.add_config(parser, "none; the config of the data is needed")
    parser.add_argument("--out", default="", metavar="FILE", help="npz file to write")
    common.add_distributed(parser)


def run(args: argparse.Namespace) -> int:
    """Write the statistics; returns the exit status."""
    for flag in ("config", "out"):
        if not getattr(args, flag):
            raise UserError(f"statistics needs --{flag}=FILE")
    if "://" in args.out or not args.out.endswith(".npz"):
        raise UserError(f"--out={args.out}: a file on a disk that ends in .npz is needed")
    if local_path(args.out).exists():
        raise UserError(f"--out={args.out} exists; a new file is needed")
    common.check_distributed(args)
    config = common.read_config(args)
    environment.join(args)
    from ddgan_jax.evaluation.statistics import write_statistics
    from ddgan_jax.parallel.mesh import make_mesh

    write_statistics(config, local_path(args.out), make_mesh())
    return 0
