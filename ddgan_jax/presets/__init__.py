"""Presets: the methods' configs by keyword, and the comparison's networks, data and lengths.

A config file calls the preset of a method and changes the fields in which it differs. `MNIST`,
`DIGITS` and `GAUSSIANS` are the networks and rates of the comparison of methods on each data set;
`on_mnist`, `on_digits` and `on_gaussians` set its data and lengths.
"""

from typing import Any

from ml_collections import ConfigDict

from ddgan_jax.methods.autoencoder import autoencoder
from ddgan_jax.methods.dddg import dddg
from ddgan_jax.methods.ddgan import ddgan, lddgan, wddgan
from ddgan_jax.methods.ddpm import ddpm
from ddgan_jax.methods.diffusion_gan import diffusion_gan
from ddgan_jax.methods.difgan import difgan
from ddgan_jax.methods.gan import gan

__all__ = [
    "DIGITS",
    "GAUSSIANS",
    "MNIST",
    "autoencoder",
    "dddg",
    "ddgan",
    "ddgan_on_small_mnist",
    "ddpm",
    "diffusion_gan",
    "difgan",
    "gan",
    "lddgan",
    "on_digits",
    "on_gaussians",
    "on_mnist",
    "wddgan",
]

MNIST = dict(
    gen=dict(
        network="ncsnpp",
        width=32,
        multipliers=(1, 2, 2),
        blocks=1,
        attention=(8,),
        z_width=128,
        z_layers=3,
        dropout=0.0,
        remat=False,
    ),
    disc=dict(
        network="resblock",
        width=32,
        multipliers=(2, 4, 4, 4),
        downsample=(False, True, True, True),
        t_width=128,
        final_scale=1.0,  # zero-like would keep the discriminator at log 2 for long
    ),
    lr_gen=2e-4,
    lr_disc=1e-4,
    r1_gamma=0.05,
    r1_every=15,
)

DIGITS: dict[str, Any] = dict(
    gen=dict(network="mlp", width=256, blocks=4, t_width=64, octaves=0, tanh=True),
    disc=dict(network="mlp", width=256, blocks=4, t_width=64, octaves=0, group=4),
    lr_gen=5e-4,
    lr_disc=5e-4,
    r1_gamma=1.0,
    r1_every=4,
)
GAUSSIANS = dict(
    gen=dict(network="mlp", width=96, blocks=3, t_width=32, octaves=6, tanh=False),
    disc=dict(network="mlp", width=64, blocks=2, t_width=32, octaves=3, group=4),
    lr_gen=5e-4,
    lr_disc=1e-3,
    r1_gamma=0.03,
    r1_every=1,
)


def on_mnist(config: ConfigDict) -> ConfigDict:
    """`config` with MNIST padded to 32x32, and the lengths of the comparison."""
    config.data.name = "tfds:mnist"
    config.data.image_size = 32
    config.data.fit = "pad"
    config.data.channels = 1
    config.train.batch_size = 128
    config.train.duration = "60 epochs"
    config.train.checkpoint_every = "2 epochs"
    config.train.sample_every = "1 epoch"
    return config


def ddgan_on_small_mnist(data: str, channels: int) -> ConfigDict:
    """DDGAN of MLPs on MNIST, or what is made of it, shrunk to 14x14: minutes on CPU."""
    config = ddgan(
        num_steps=2,
        latent_size=64,
        gen=DIGITS["gen"],
        disc=DIGITS["disc"],
        lr_gen=5e-4,
        lr_disc=5e-4,
        r1_gamma=0.1,
        r1_every=15,
    )
    config.data.name = data
    config.data.image_size = 14
    config.data.channels = channels
    config.train.batch_size = 128
    config.train.duration = "8000 steps"
    config.train.log_every = "500 steps"
    config.train.checkpoint_every = "2000 steps"
    config.train.sample_every = "1000 steps"
    return config


def on_digits(config: ConfigDict) -> ConfigDict:
    """`config` with the 8x8 digits of the package, and the lengths of the comparison."""
    config.data.name = "digits"
    config.train.batch_size = 128
    config.train.duration = "4000 steps"
    config.train.log_every = "500 steps"
    config.train.checkpoint_every = "1000 steps"
    config.train.sample_every = "1000 steps"
    config.eval.num_samples = 1500  # as many as there are digits to train on
    return config


def on_gaussians(config: ConfigDict) -> ConfigDict:
    """`config` with 25 Gaussians, and the lengths of the comparison."""
    for role in config.optim.values():
        role.final_learning_rate = role.learning_rate  # annealed, it stops short (docs/results.md)
        if "disc" in config.optim:  # each has to follow at once where the other goes
            role.beta1, role.beta2 = 0.0, 0.99
    config.data.name = "gaussians25"
    config.train.batch_size = 256
    config.train.duration = "12000 steps"
    config.train.log_every = "1000 steps"
    config.train.checkpoint_every = "4000 steps"
    config.train.sample_every = "4000 steps"
    config.train.grid = 10_000
    config.sample.batch_size = 10_000
    return config
