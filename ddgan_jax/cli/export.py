"""Copy what sampling needs from a run folder, about a fifth of it, or share it in a model hub.

To share a run:
  python -m ddgan_jax export --workdir=runs/digits --out=digits_to_share
Sample from the copy:
  python -m ddgan_jax sample --workdir=digits_to_share
With a model card, a picture of samples and the weights as .safetensors, to look at first:
  python -m ddgan_jax export --workdir=runs/digits --out=digits_to_share --card
The same uploaded to a repository of the hub, with the login of its own command (hf auth login):
  python -m ddgan_jax export --workdir=runs/digits --push=USER/NAME --license=apache-2.0
Everybody who may read the repository can then use --workdir=hf://USER/NAME, without a login if it
is public. The package huggingface_hub is needed: pip install huggingface_hub
"""

import argparse
import tempfile
from pathlib import Path

from ddgan_jax.cli import common
from ddgan_jax.core.errors import UserError
from ddgan_jax.io.hub import check_license, parse_address
from ddgan_jax.io.storage import HUB, AnyPath


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    common.add_workdir(parser)
    common.add_plugins(parser)
    add = parser.add_argument
    add("--out", default="", metavar="FOLDER", help="the folder to make; may be left out of --push")
    add("--card", action="store_true", help="also write README.md, samples.png, model.safetensors")
    add("--push", default="", metavar="USER/NAME", help="upload to this repository, with the card")
    add("--private", action="store_true", help="make a new repository of --push a private one")
    add(
        "--license",
        default="",
        metavar="NAME",
        help="license that the card names, such as apache-2.0; default: the card names none",
    )
    common.add_step(parser)


def run(args: argparse.Namespace) -> int:
    """Copy, and upload; returns the exit status."""
    if not args.out and not args.push:
        common.workdir_of(args)
        raise UserError("export needs --out=FOLDER")
    if args.private and not args.push:
        raise UserError("--private goes with --push=USER/NAME alone")
    if args.license and not (args.card or args.push):
        raise UserError(f"--license={args.license} goes with --card or --push=USER/NAME alone")
    check_license(args.license)
    if args.push:
        parse_address(HUB + args.push)
    if args.out:
        _export(args, common.run_of(args), common.out_of(args))
        return 0
    workdir = common.workdir_of(args)  # a run of the hub is there already
    with tempfile.TemporaryDirectory() as folder:
        _export(args, workdir, Path(folder) / "run")
    return 0


def _export(args: argparse.Namespace, workdir: AnyPath, out: Path) -> None:
    from ddgan_jax.evaluation.card import PLACE, write_card
    from ddgan_jax.inference.export import export
    from ddgan_jax.io.hub import uploaded

    export(workdir, out, common.step_of(args), print if args.out else lambda line: None)
    if args.card or args.push:
        write_card(workdir, out, args.push or PLACE, args.license)
    if args.push:
        page = uploaded(out, args.push, args.private)
        print(f"{page}; draw samples: python -m ddgan_jax sample --workdir={HUB}{args.push}")
