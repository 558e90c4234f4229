"""List the configs that come with the package, or show what the header of one says.

All of them, each with what it is:
  python -m ddgan_jax configs
Command, hardware, time, expected result and variants of one:
  python -m ddgan_jax configs ddgan_cifar10
Its fields and their values:
  python -m ddgan_jax fields --config=ddgan_cifar10
A copy to change, in this folder:
  python -m ddgan_jax configs ddgan_cifar10 --copy=my_config.py

--config=NAME and --config=NAME:VARIANT name them in every command that reads a config.
"""

import argparse

from ddgan_jax.cli import common
from ddgan_jax.config.packaged import header, packaged, summary
from ddgan_jax.core.errors import UserError, nearest
from ddgan_jax.io.storage import local_path


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="one of the configs")
    parser.add_argument("--copy", default="", metavar="FILE", help="new file to copy the config to")


def run(args: argparse.Namespace) -> int:
    """List the configs, or show or copy one; returns the exit status."""
    known = packaged()
    if not args.name:
        if args.copy:
            raise UserError("--copy needs the NAME of a config")
        width = max(map(len, known))
        for name, path in known.items():
            print(f"{name:<{width}}  {summary(path)}")
        return 0
    if args.name not in known:
        raise UserError(
            f"config {args.name!r} is unknown{nearest(args.name, known)}; python -m ddgan_jax "
            "configs lists them"
        )
    path = known[args.name]
    if not args.copy:
        print(header(path))
        return 0
    copy = local_path(args.copy)
    try:
        with copy.open("x") as file:
            file.write(path.read_text())
    except FileExistsError:
        raise UserError(f"--copy={args.copy} is already there; name a new file") from None
    except OSError as error:
        raise UserError(f"--copy={args.copy}: {error.strerror or error}") from error
    print(f"{copy}; use it with --config={args.copy}")
    return 0
