"""Train a model, or continue the run in the folder --workdir.

Start a run, with a config of the package (python -m ddgan_jax configs lists them) or your own file:
  python -m ddgan_jax train --config=ddgan_digits --workdir=runs/digits
  python -m ddgan_jax train --config=my_config.py --workdir=runs/mine
See its config, sizes and memory first:
  python -m ddgan_jax train --config=ddgan_cifar10 --dry_run
Change any field of the config:
  ... --config.optim.gen.learning_rate=1e-4 --config.train.duration="20 epochs"
Continue it, here for longer; the run folder knows its config:
  python -m ddgan_jax train --workdir=runs/digits --config.train.duration="40 epochs"
Start a new run from the weights of another one, or of a converted published checkpoint:
  ... --init_from=runs/official --workdir=runs/mine     (FOLDER, FOLDER@STEP or FOLDER@best)
With a method or network of your own, config.method="my_module:my_method":
  ... --plugins=FOLDER

The same command after ^C, SIGTERM or a crash continues from the last checkpoint. On several hosts,
start the same command on each.
"""

import argparse

from ddgan_jax.cli import common, environment
from ddgan_jax.core.errors import UserError

WEIGHTS = ("ema", "raw")


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    common.add_config(parser)
    common.add_workdir(parser, "run folder: made if it does not exist, else continued")
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="print config, sizes and memory of the run, and do no more",
    )
    parser.add_argument(
        "--init_from",
        default="",
        metavar="FOLDER[@STEP]",
        help="begin a new run, at step 0 with new optimizers, from the weights of another run "
        "folder of the same method, at its last checkpoint, STEP or best; not needed to resume",
    )
    parser.add_argument(
        "--init_weights",
        type=common.one_of(*WEIGHTS),
        default=None,
        help="with --init_from: ema, the averaged weights of the networks that have some, which "
        "samples and published files are of, and the others as they are; or raw, all as the "
        "optimizer left them; default: ema",
    )
    common.add_distributed(parser)


def run(args: argparse.Namespace) -> int:
    """Train; returns the exit status."""
    if args.init_weights and not args.init_from:
        raise UserError(f"--init_weights={args.init_weights} needs --init_from=FOLDER")
    if args.dry_run:
        return _dry_run(args)
    workdir = common.workdir_of(args)
    common.check_distributed(args)
    config = common.read_config(args)
    environment.join(args)
    from ddgan_jax.evaluation.evaluate import during_training
    from ddgan_jax.training import init_from
    from ddgan_jax.training.loop import train

    origin = None
    if args.init_from:
        origin = init_from.parse(args.init_from, args.init_weights or WEIGHTS[0])
    return train(config, workdir, make_evaluate=during_training, origin=origin)


def _dry_run(args: argparse.Namespace) -> int:
    from ddgan_jax.profiling.dry_run import dry_run

    config = common.read_config(args)
    if args.init_from:
        from ddgan_jax.training import init_from

        init_from.check(init_from.parse(args.init_from, args.init_weights or WEIGHTS[0]))
    dry_run(config)
    return 0
