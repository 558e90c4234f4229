"""`python -m ddgan_jax.data.prepare`: data sets for `tfds:` names, without TensorFlow."""

import argparse
import sys
from pathlib import Path

from ddgan_jax.core.errors import UserError
from ddgan_jax.data.tfds_source import data_root

_ABOUT = """\
Write a data set where the config field data.name=tfds:... finds it. Nothing is downloaded: the
original files must lie in --source."""

_EXAMPLES = """\
examples:
  python -m ddgan_jax.data.prepare mnist --source=~/Downloads/mnist
  python -m ddgan_jax.data.prepare cifar10 --source=~/Downloads --data_dir=/data/tfds
  python -m ddgan_jax.data.prepare folder --source=~/photos --name=my_photos --size=64"""

_KINDS = {
    "mnist": "the four idx files (train/t10k, images/labels), gzipped or not",
    "fashion_mnist": "the same four files of Fashion-MNIST",
    "cifar10": "cifar-10-batches-bin (the binary version), or the directory that holds it",
    "folder": "PNG and JPEG images, also in sub-folders, whose names become the classes",
}


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m ddgan_jax.data.prepare",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=raw,
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for kind, files in _KINDS.items():
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
    return parser


def prepare(
    kind: str, source: str, data_dir: str = "", *, name: str = "", size: int = 0
) -> tuple[str, Path]:
    """Writes one data set.

    Args:
      kind: `mnist`, `fashion_mnist`, `cifar10` or `folder`.
      source: directory of the original files.
      data_dir: where data sets lie; '' is where TFDS keeps them.
      name: of a folder: what to call it.
      size: of a folder: height and width of its images.

    Returns:
      What to put into `data.name`, and the directory that was written.

    Raises:
      UserError: files missing or damaged, a bad name or size, or already prepared.
    """
    from ddgan_jax.data import builders

    where, root = Path(source).expanduser(), data_root(data_dir)
    if kind != "folder":
        builder = {
            "mnist": builders.Mnist,
            "fashion_mnist": builders.FashionMnist,
            "cifar10": builders.Cifar10,
        }[kind]
        return f"tfds:{kind}", builders.write(builder, where, root)

    if not name.isidentifier():
        raise UserError(f"--name={name}: allowed: letters, digits and _, a letter first")
    if size < 1:
        raise UserError(f"--size={size}: allowed: 1 or more")
    classes = sorted({builders.class_of(path) for path in builders.find_images(where)})
    config = builders.FolderConfig(
        name=name, description=f"Images of {where.name}.", size=size, classes=tuple(classes)
    )
    return f"tfds:image_folder/{name}", builders.write(builders.ImageFolder, where, root, config)


def main(argv: list[str] | None = None) -> int:
    """The command. Returns its exit status: 0, or 2 after one line of error on stderr."""
    args = _parser().parse_args(argv)
    options = {"name": args.name, "size": args.size} if args.kind == "folder" else {}
    try:
        name, path = prepare(args.kind, args.source, args.data_dir, **options)
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
