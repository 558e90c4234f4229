"""FID and other metrics of a run, with the whole protocol: a table and evaluation.json.

A run; config.eval holds the protocol:
  python -m ddgan_jax evaluate --workdir=runs/digits --config.eval.num_samples=1500
Images made elsewhere, compared with the data of a config:
  python -m ddgan_jax evaluate --config=configs/ddgan_cifar10.py --samples=npz:FILE --out=theirs
FID to statistics in a file (mu and sigma, as pytorch-fid and EDM publish them), without the data:
  python -m ddgan_jax evaluate --workdir=runs/cifar10 --reference=cifar10.npz
Such a file of the data of a config:
  python -m ddgan_jax statistics --config=ddgan_cifar10 --out=cifar10.npz

docs/evaluation.md explains the metrics.
"""

import argparse

from ddgan_jax.cli import common, environment
from ddgan_jax.core.errors import UserError
from ddgan_jax.io.storage import local_path


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    common.add_workdir(parser)
    common.add_config(parser)
    add = parser.add_argument
    add(
        "--samples",
        default="",
        metavar="DATA",
        help="evaluate all of these instead of a run's samples: npz:FILE, tfds:NAME or another "
        "config.data.name",
    )
    add("--samples_split", default="", help="split of --samples; default: train")
    add(
        "--reference",
        default="",
        metavar="FILE",
        help="compare with the statistics in this npz file instead of the data",
    )
    add("--out", default="", metavar="FOLDER", help="output folder; default: WORKDIR")
    common.add_step(parser)
    common.add_distributed(parser)


def run(args: argparse.Namespace) -> int:
    """Measure; returns the exit status."""
    if not args.samples:
        workdir = common.run_of(args)
        if args.samples_split:
            raise UserError(f"--samples_split={args.samples_split} needs --samples=DATA")
    elif not args.out:
        raise UserError("evaluate --samples=DATA needs --out=FOLDER")
    elif args.step != -1:
        raise UserError(f"--step={args.step} is for samples of a run, not for --samples")
    out = common.out_of(args)
    common.check_distributed(args)
    config = common.read_config(args)
    environment.join(args)
    from ddgan_jax.evaluation.evaluate import evaluate, evaluate_source

    reference = local_path(args.reference) if args.reference else None
    if args.samples:
        evaluate_source(config, args.samples, args.samples_split or "train", out, reference)
    else:
        evaluate(config, workdir, out, common.step_of(args), reference)
    return 0
