"""Draw why large denoising steps need a GAN, forward noise, and LDDGAN's weighted learning.

Use the bundled digits:
  python -m ddgan_jax figures --out=docs
Use the data of a config:
  python -m ddgan_jax figures --out=figures --config=configs/ddgan_mnist.py
Also draw the intermediate images of a DDGAN, DifGAN or DDDG run, or the mixed styles of a run with
StyleGAN2's generator:
  python -m ddgan_jax figures --out=figures --workdir=runs/difgan_digits
"""

import argparse
from typing import TYPE_CHECKING

import numpy as np

from ddgan_jax.cli import common
from ddgan_jax.config.base import base
from ddgan_jax.config.overrides import load_config_file, override
from ddgan_jax.core.errors import UserError

if TYPE_CHECKING:
    from ddgan_jax.inference.model import Model

_SHOWN = 8  # number of images, one in each row
_STEPS = 4  # number of steps of DDGAN's chain
_EPOCHS, _DELTA = 1700, 6.0  # of LDDGAN on CIFAR-10
_VIEWS = (0, 125, 250, 500, 1000)  # times of Diffusion-GAN's chain


def add_flags(parser: common.Parser) -> None:
    """Add the flags of the command."""
    parser.add_argument("--out", default="", metavar="FOLDER", help="folder of the figures")
    common.add_config(parser, "the bundled digits")
    common.add_workdir(parser, "run folder whose intermediate images, or mixed styles, to draw")


def run(args: argparse.Namespace) -> int:
    """Draw; returns the exit status."""
    if not args.out:
        raise UserError("figures needs --out=FOLDER")
    out = common.out_of(args)
    config = override(load_config_file(args.config) if args.config else base(), args.overrides)
    import jax
    import jax.numpy as jnp

    from ddgan_jax.core.losses import constant_weight, fading_weight
    from ddgan_jax.data import load_source
    from ddgan_jax.diffusion import schedules
    from ddgan_jax.diffusion.denoising_density import EVOLUTION, EXAMPLE
    from ddgan_jax.diffusion.forward_views import chain, discriminator_views
    from ddgan_jax.diffusion.instance_noise import InstanceNoise
    from ddgan_jax.inference.mixing import style_mixing
    from ddgan_jax.inference.model import load
    from ddgan_jax.io.run_folder import check_writable
    from ddgan_jax.methods import validate
    from ddgan_jax.plotting.explanatory import (
        draw_densities,
        draw_evolution,
        draw_rows,
        draw_weights,
    )
    from ddgan_jax.spaces.pixels import pixels

    data = (validate(config) if args.config else config).data
    source = load_source(data)
    if len(source.shape) != 3:
        raise UserError(f"config.data.name is {data.name!r}; images are needed for figures")
    model = load(args.workdir) if args.workdir else None
    mixed = style_mixing(model, _SHOWN // 2, _SHOWN) if model and model.method.styles else None
    path = intermediate_images(model, _SHOWN) if model and mixed is None else None
    check_writable("--out", out)
    stored = source.take(np.arange(min(_SHOWN, source.size)))["image"]
    images = pixels(source.shape).encode(jnp.asarray(stored), ())
    key, betas = jax.random.key(0), schedules.variance_preserving_betas(_STEPS)
    draw_evolution(out / "density_over_time.png", EXAMPLE.data, EVOLUTION, EXAMPLE.grid)
    draw_densities(out / "denoising_density.png", *EXAMPLE)
    weights = {
        "weighted": fading_weight(1.0, _DELTA, _EPOCHS, 1),
        "constant": constant_weight(1.0),
    }
    epochs = jnp.arange(_EPOCHS)
    drawn = {name: np.asarray(weight(epochs)) for name, weight in weights.items()}
    draw_weights(out / "reconstruction_weight.png", drawn)
    draw_rows(out / "forward_ddgan.png", np.asarray(chain(key, images, betas)))
    views = discriminator_views(InstanceNoise(), key, images, _VIEWS)
    draw_rows(out / "forward_diffusion_gan.png", np.asarray(views))
    if path is not None:
        draw_rows(out / "path.png", path)
    if mixed is not None:
        draw_rows(out / "style_mixing.png", np.moveaxis(mixed, 1, 0))
    return 0


def intermediate_images(model: "Model", count: int, seed: int = 0) -> np.ndarray:
    """Images that sampling passes through, from noise to sample: float32 [K, count, H, W, C].

    Raises:
      UserError: the method does not show them.
    """
    import jax

    from ddgan_jax.core.random import sample_keys

    trajectory = model.method.trajectory
    if trajectory is None:
        raise UserError(f"method {model.config.method!r} does not show its intermediate images")
    keys = sample_keys(jax.random.key(seed), 0, count)
    return np.asarray(jax.jit(trajectory)(model.params, keys, model.frozen))
