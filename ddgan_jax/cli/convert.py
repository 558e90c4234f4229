r"""Published PyTorch checkpoints into run folders, and back.

A checkpoint of DDGAN's authors becomes a run folder (PyTorch is not needed, and nothing in the
file is executed):
  python -m ddgan_jax.convert --source=ddgan --checkpoint=netG_1200.pth \
      --config=configs/ddgan_cifar10.py --workdir=runs/official
The config has to describe the same network, with changes if need be:
  ... --config.gen.multipliers=1,2,4 --config.data.image_size=64
A latent DDGAN needs its autoencoder first, and the number that its latents were divided by (the
published code has 105 for CIFAR-10, 6 and 60 for the others; see the config that it came with):
  python -m ddgan_jax.convert --source=ldm_autoencoder --checkpoint=autoencoder.ckpt \
      --config=configs/autoencoder_cifar10.py --workdir=runs/ae
  python -m ddgan_jax.convert --source=lddgan --checkpoint=netG_1200.pth \
      --config=configs/lddgan_cifar10.py --config.space.autoencoder=runs/ae \
      --config.space.scale=105 --workdir=runs/official
Then, as for any run:
  python -m ddgan_jax.main --mode=sample --workdir=runs/official
  python -m ddgan_jax.main --mode=evaluate --workdir=runs/official
The other way, for those who have the published code: the moving average of a run, trained here or
imported, under the names that torch.load(FILE, weights_only=True) gives to load_state_dict:
  python -m ddgan_jax.convert --workdir=runs/cifar10 --export=netG.pth

The published netG_N.pth hold the moving average. A content.pth, from which the published code
resumes, can be read too, but its netG_dict are the weights that the optimizer moves.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ddgan_jax.config.overrides import load_config_file, override
from ddgan_jax.core.errors import UserError
from ddgan_jax.inference.published import (
    SOURCES,
    export_checkpoint,
    find_source,
    import_checkpoint,
)
from ddgan_jax.io.storage import place
from ddgan_jax.main import Parser, main, quieten, split_overrides
from ddgan_jax.methods import complete_config, validate


def make_parser() -> argparse.ArgumentParser:
    """The flags of the command line, without those of the config."""
    parser = Parser(
        prog="python -m ddgan_jax.convert",
        usage="python -m ddgan_jax.convert [--flag=value ...] [--config.FIELD=value ...]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    known = ", ".join(f"{name} ({source.file})" for name, source in SOURCES.items())
    add("--source", default="", help=f"whose network: {known}; export: found by the config")
    add("--checkpoint", default="", help="import: the PyTorch file; its names may begin with "
        "module., its arrays may lie in a dictionary among others")  # fmt: skip
    add("--config", default="", help="import: config file of the network, FILE.py[:VARIANT]")
    add("--workdir", required=True, help="import: the run folder to make; export: the one to read")
    add("--export", default="", help="export: the PyTorch file to write")
    add("--step", type=int, default=-1, help="import: what to call the checkpoint, default: 0; "
        "export: of the checkpoint, default: the last")  # fmt: skip
    add("--module_prefix", action="store_true", help="export: begin every name with module., as "
        "the published code saves and loads them")  # fmt: skip
    return parser


def run(argv: Sequence[str]) -> int:
    """Parse, then import or export; returns the exit status.

    Raises:
      UserError: what the user can mend.
    """
    others, changes = split_overrides(argv)
    values = make_parser().parse_args(others)
    for flag in ("checkpoint", "config", "source"):
        if not values.export and not getattr(values, flag):
            raise UserError(f"--{flag} is needed to import, or --export=FILE to export; see --help")
    if values.export and (values.checkpoint or values.config or changes):
        raise UserError("--export goes with --workdir, --source, --step and --module_prefix alone")
    if "://" in values.export + values.checkpoint:
        raise UserError("--checkpoint and --export are files of this machine")
    if values.step < -1:
        raise UserError(f"--step is {values.step}; an integer >= 0 is needed")
    if values.source:
        find_source(values.source)
    workdir = place(values.workdir)
    quieten()
    if values.export:
        step = None if values.step < 0 else values.step
        file = Path(values.export)
        return export_checkpoint(workdir, file, values.source, step, values.module_prefix)
    config = validate(override(complete_config(load_config_file(values.config)), changes))
    file = Path(values.checkpoint)
    return import_checkpoint(values.source, file, config, workdir, max(values.step, 0))


if __name__ == "__main__":
    sys.exit(main(command=run))
