"""`python -m ddgan_jax.data.prepare`: data sets for `tfds:` names, without TensorFlow."""

import argparse
import sys

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.preparation import KINDS, write_dataset

_ABOUT = """\
Write a data set where the config field data.name=tfds:... finds it. Nothing is downloaded: the
original files must lie in --source."""

_EXAMPLES = """\
examples:
  python -m ddgan_jax.data.prepare mnist --source=~/Downloads/mnist
  python -m ddgan_jax.data.prepare cifar10 --source=~/Downloads --data_dir=/data/tfds
  python -m ddgan_jax.data.prepare folder --source=~/photos --name=my_photos --size=64"""


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m ddgan_jax.data.prepare",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=raw,
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for kind, files in KINDS.items():
        sub = kinds.add_parser(kind, help=files, description=f"Needs in --source: {files}.")
        sub.add_argument("--source", required=True, metavar="DIR", help="the original files")
        sub.add_argument(
            "--data_dir",
            default="",
            metavar="DIR",
            help="where to write (default: $TFDS_DATA_DIR, or ~/tensorflow_datasets)",
        )
        if kind == "folder":
            sub.add_argument("--name", required=True, help="what to call it: letters, digits, _")
            sub.add_argument("--size", required=True, type=int, help="height and width")
            sub.add_argument(
                "--background",
                default="white",
                metavar="COLOR",
                help="color behind transparent pixels (default: white)",
            )
    return parser


def main(argv: list[str] | None = None) -> int:
    """The command. Returns its exit status: 0, or 2 after one line of error on stderr."""
    args = _parser().parse_args(argv)
    options = {}
    if args.kind == "folder":
        options = {"name": args.name, "size": args.size, "background": args.background}
    try:
        name, path = write_dataset(args.kind, args.source, args.data_dir, **options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # full disk, no permission
        print(f"error: {error.filename or args.source}: {error.strerror}", file=sys.stderr)
        return 2
    print(f"wrote {path}")
    print(
        f"--config.data.name={name}" + (f" --config.data.dir={args.data_dir}" * bool(args.data_dir))
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
