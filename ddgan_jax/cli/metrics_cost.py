"""Time and memory of the metrics, on random features.

  python -m ddgan_jax metrics_cost --count=50000

Two sets of --count samples, uniformly distributed. Each metric runs in a process of its own, so
that its peak of memory, which includes the features, is its own; drawing them is not timed.
"""

import argparse
import json

from ddgan_jax.cli import common

_PARTS = ("imports", "frechet", "kid", "precision_recall")


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add(
        "--count",
        type=common.integer(4, allowed="an integer >= 4"),
        default=50_000,
        help="samples of each set; default: 50000",
    )
    add(
        "--features", type=common.integer(1), default=2048, help="numbers per sample; default: 2048"
    )
    add(
        "--part",
        type=common.one_of(*_PARTS),
        help=f"only this one, in this process, as JSON: {', '.join(_PARTS)}",
    )


def run(args: argparse.Namespace) -> int:
    """Print a table; returns the exit status."""
    from ddgan_jax.profiling.metrics_cost import report, run_part

    if args.part:
        print(json.dumps(run_part(args.part, args.count, args.features)))
        return 0
    for line in report(args.count, args.features):
        print(line, flush=True)
    return 0
