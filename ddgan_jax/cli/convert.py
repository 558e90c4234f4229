r"""Published PyTorch checkpoints into run folders, and back.

A checkpoint of DDGAN's authors becomes a run folder (PyTorch is not needed, and nothing in the
file is executed):
  python -m ddgan_jax convert --source=ddgan --checkpoint=netG_1200.pth \
      --config=configs/ddgan_cifar10.py --workdir=runs/official
The file says width, multipliers, blocks, attention and latent of its network, not the size of its
images and the number of steps: both are taken from a config with the same network, and have to be
given with any other:
  ... --config.data.image_size=64 --config.diffusion.num_steps=4
The discriminator of a content.pth and an autoencoder are read from their files too. An autoencoder
does not say whether it ends with tanh (--config.autoencoder.tanh). Which blocks of a discriminator
halve the resolution is that of the published kind with as wide a first block, or as given
(--config.disc.downsample).
A latent DDGAN needs its autoencoder first, and the number by which its latents were divided. Use
the variant `released` of the configs: it has this number (105 for CIFAR-10, 6 and 60 for the
others) and the tanh at the end of CIFAR-10's autoencoder, which has no parameters, so that its lack
would not be noticed:
  python -m ddgan_jax convert --source=ldm_autoencoder --checkpoint=autoencoder.ckpt \
      --config=configs/autoencoder_cifar10.py:released --workdir=runs/ae
  python -m ddgan_jax convert --source=lddgan --checkpoint=netG_1200.pth \
      --config=configs/lddgan_cifar10.py:released --config.space.autoencoder=runs/ae \
      --workdir=runs/official
A DDPM of the Diffusers library, such as google/ddpm-cifar10-32; config.json has to lie beside it:
  python -m ddgan_jax convert --source=diffusers_ddpm \
      --checkpoint=ddpm-cifar10-32/diffusion_pytorch_model.safetensors \
      --config=configs/ddpm_cifar10.py --workdir=runs/ddpm
Then, as for any run:
  python -m ddgan_jax sample --workdir=runs/official
  python -m ddgan_jax evaluate --workdir=runs/official
A network pickle of StyleGAN2-ADA, StyleGAN3 or Diffusion-GAN says itself which network it holds:
  python -m ddgan_jax convert --source=stylegan2 --checkpoint=network-snapshot.pkl \
      --workdir=runs/official
The moving average of a run, trained here or imported, as a file for the published code: its names
are those that torch.load(FILE, weights_only=True) gives to load_state_dict:
  python -m ddgan_jax convert --workdir=runs/cifar10 --export=netG.pth

The published netG_N.pth hold the moving average. A content.pth, from which the published code
resumes, can be read too: its moving averages lie in the state of its optimizer, and are used
unless --raw asks for the weights that the optimizer updates. The run folder's info.json says what
was read. Of a content.pth of DDGAN or LDDGAN the run folder also keeps both networks as the
optimizers left them, and Adam's moments: train --init_from=FOLDER --init_weights=raw begins with
them.

WDDGAN's checkpoints for CIFAR-10, STL-10 and LSUN were trained with --use_pytorch_wavelet, whose
bands have another order than those of the others. --bands names the order of a checkpoint; the
default is that of the published one for the data of the config.
"""

import argparse

from ddgan_jax.cli import common
from ddgan_jax.core.errors import UserError
from ddgan_jax.io.best import BEST
from ddgan_jax.io.storage import local_path


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add(
        "--source",
        default="",
        metavar="NAME",
        help="published network: ddgan, wddgan, lddgan (netG_N.pth), ldm_autoencoder (model.ckpt), "
        "stylegan2 (network.pkl), diffusers_ddpm (.safetensors); export: found by the config",
    )
    add(
        "--checkpoint",
        default="",
        metavar="FILE",
        help="import: the PyTorch file; its names may begin with module., and its arrays may lie "
        "in a dictionary among others",
    )
    common.add_config(parser, "none; import needs the config of the network")
    common.add_workdir(parser, "import: the run folder to make; export: the one to read")
    add("--export", default="", metavar="FILE", help="export: the PyTorch file to write")
    add(
        "--step",
        type=common.step_type("an integer >= 0 or best"),
        default=-1,
        help="import: step to store the checkpoint under, default: 0; export: step of the "
        "checkpoint, or best, default: the last",
    )
    add(
        "--raw",
        action="store_true",
        help="import: the weights that the optimizer updates, also where the file has averages",
    )
    add(
        "--bands",
        default="",
        metavar="ORDER",
        help="order of WDDGAN's wavelet bands in the PyTorch file: haar, pytorch_wavelets; "
        "default: as published for the data",
    )
    add(
        "--module_prefix",
        action="store_true",
        help="export: begin every name with module., as the published code saves and loads them",
    )


def run(args: argparse.Namespace) -> int:
    """Import or export; returns the exit status."""
    workdir = common.run_of(args) if args.export else common.workdir_of(args)
    from ddgan_jax.inference.published import export_checkpoint, find_source, import_checkpoint

    # Files with buffers, such as StyleGAN2's, tell the config themselves.
    told = bool(args.source) and find_source(args.source).buffers
    for flag in ("checkpoint", "source") if told else ("checkpoint", "config", "source"):
        if not args.export and not getattr(args, flag):
            raise UserError(f"--{flag} is needed to import, or --export=FILE to export; see --help")
    if args.export and (args.checkpoint or args.config or args.overrides or args.raw):
        raise UserError(
            "--export goes with --workdir, --source, --step, --bands and --module_prefix alone"
        )
    if not args.export and args.module_prefix:
        raise UserError("--module_prefix goes with --export")
    if "://" in args.export + args.checkpoint:
        raise UserError("--checkpoint and --export are files of this machine")
    if args.export:
        file, step = local_path(args.export), common.step_of(args)
        export_checkpoint(workdir, file, args.source, step, args.module_prefix, bands=args.bands)
    else:
        config = common.read_config(args) if args.config else None
        if config is None and args.overrides:
            raise UserError("--config.FIELD=VALUE needs --config=FILE")
        if args.step == BEST:
            raise UserError("--step=best goes with --export; the number of a step is needed here")
        file = local_path(args.checkpoint)
        step = max(args.step, 0)
        import_checkpoint(
            args.source, file, config, workdir, step, args.raw, args.bands, args.overrides.keys()
        )
    return 0
