"""Write a data set where config.data.name=tfds:NAME finds it, without TensorFlow.

Nothing is downloaded: the original files must lie in --source.
  mnist          the four idx files (train/t10k, images/labels), gzipped or not
  fashion_mnist  the same four files of Fashion-MNIST
  cifar10        cifar-10-batches-bin (the binary version), or the folder that holds it
  stl10          stl10_binary (the binary version), or the folder that holds it
  folder         images, also in sub-folders, whose names become the classes; the folders train,
                 test and validation become splits; config.data.name=folder:PATH reads such
                 a folder without this command

Examples:
  python -m ddgan_jax prepare mnist --source=~/Downloads/mnist
  python -m ddgan_jax prepare cifar10 --source=~/Downloads --data_dir=/data/tfds
  python -m ddgan_jax prepare folder --source=~/photos --name=my_photos --size=64
"""

import argparse

from ddgan_jax.cli import common
from ddgan_jax.core.errors import UserError


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    kinds = ("mnist", "fashion_mnist", "cifar10", "stl10", "folder")
    add("kind", type=common.one_of(*kinds), metavar="KIND", help=", ".join(kinds))
    add("--source", default="", metavar="FOLDER", help="folder of the original files")
    add(
        "--data_dir",
        default="",
        metavar="FOLDER",
        help="where to write; default: $TFDS_DATA_DIR, or ~/tensorflow_datasets",
    )
    add("--name", help="folder: name of the data set, of letters, digits and _")
    add("--size", type=common.integer(1), help="folder: height and width of the images")
    add(
        "--background",
        metavar="COLOR",
        help="folder: color behind transparent pixels; default: white",
    )


def run(args: argparse.Namespace) -> int:
    """Write the data set; returns the exit status."""
    if not args.source:
        raise UserError("prepare needs --source=FOLDER")
    of_folder = args.kind == "folder"
    for flag in ("name", "size", "background"):
        given = getattr(args, flag) is not None
        if given and not of_folder:
            raise UserError(f"--{flag} goes with prepare folder alone")
        if of_folder and not given and flag != "background":
            raise UserError(f"--{flag} is needed")
    from ddgan_jax.data.preparation import write_dataset

    background = args.background or "white"
    options = {"name": args.name, "size": args.size, "background": background} if of_folder else {}
    name, path = write_dataset(args.kind, args.source, args.data_dir, **options)
    print(f"wrote {path}")
    where = f" --config.data.dir={args.data_dir}" if args.data_dir else ""
    print(f"--config.data.name={name}{where}")
    return 0
