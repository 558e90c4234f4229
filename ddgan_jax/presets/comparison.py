"""Networks, rates, data and lengths of the comparison of methods, by data set.

`MNIST`, `MNIST28`, `DIGITS` and `GAUSSIANS` are keyword arguments of the presets of adversarial
methods; `on_mnist`, `on_mnist28`, `on_digits` and `on_gaussians` set the data and the lengths of a
config.
"""

from typing import Any

from ml_collections import ConfigDict

from ddgan_jax.methods.ddgan import ddgan

MNIST: dict[str, Any] = dict(
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
        final_scale=1.0,  # with an initialization near zero the loss stays at 2 log 2 for long
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
MNIST28: dict[str, Any] = dict(
    gen=dict(
        network="resblock",
        width=16,
        multipliers=(1, 2),
        blocks=1,
        t_width=64,
        tanh=True,
        latent_map=True,
    ),
    disc=dict(
        network="resblock",
        width=12,
        multipliers=(2, 4),
        downsample=(True, False),
        t_width=64,
        final_scale=1.0,
    ),
    lr_gen=1e-3,
    lr_disc=1e-3,
    r1_gamma=1.0,
    r1_every=4,
)
GAUSSIANS: dict[str, Any] = dict(
    gen=dict(network="mlp", width=96, blocks=3, t_width=32, octaves=6, tanh=False),
    disc=dict(network="mlp", width=64, blocks=2, t_width=32, octaves=3, group=4),
    lr_gen=5e-4,
    lr_disc=1e-3,
    r1_gamma=0.03,
    r1_every=1,
)


def on_mnist(config: ConfigDict) -> ConfigDict:
    """Set the data to MNIST padded to 32x32, and the lengths of the comparison."""
    config.data.name = "tfds:mnist"
    config.data.image_size = 32
    config.data.fit = "pad"
    config.data.channels = 1
    config.train.batch_size = 128
    config.train.duration = "60 epochs"
    config.train.checkpoint_every = "2 epochs"
    config.train.sample_every = "1 epoch"
    return config


def on_mnist28(config: ConfigDict) -> ConfigDict:
    """Set the data to MNIST at its own size, and the lengths of the comparison on a CPU core."""
    config.data.name = "tfds:mnist"
    config.data.image_size = 28
    config.data.channels = 1
    config.space = ConfigDict(dict(kind="wavelet", levels=1))
    config.train.batch_size = 64
    config.train.duration = "2400 steps"
    config.train.log_every = "200 steps"
    config.train.checkpoint_every = "400 steps"
    config.train.sample_every = "800 steps"
    config.eval.every = "400 steps"
    config.eval.metrics = ("frechet", "classes")
    config.eval.num_samples = 2_000
    return config


def ddgan_on_small_mnist(data: str, channels: int) -> ConfigDict:
    """DDGAN with MLPs on images resized to 14x14; trains within minutes on a CPU.

    Args:
      data: "tfds:mnist" or "stacked_mnist".
      channels: channels of the images.
    """
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
    config.ema_warmup = False  # as in the measured runs
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
    """Set the data to the 8x8 digits of the package, and the lengths of the comparison."""
    config.ema_warmup = False  # as in the measured runs
    config.data.name = "digits"
    config.train.batch_size = 128
    config.train.duration = "4000 steps"
    config.train.log_every = "500 steps"
    config.train.checkpoint_every = "1000 steps"
    config.train.sample_every = "1000 steps"
    config.eval.num_samples = 1500  # the number of training digits
    return config


def on_gaussians(config: ConfigDict) -> ConfigDict:
    """Set the data to 25 Gaussians, and the rates, Adam's betas and lengths of the comparison."""
    for role in config.optim.values():
        # Constant rates, since annealed ones end training too early (docs/results.md).
        role.final_learning_rate = role.learning_rate
        if "disc" in config.optim:  # no momentum: each player follows the other at once
            role.beta1, role.beta2 = 0.0, 0.99
    config.ema_warmup = False  # as in the measured runs
    config.data.name = "gaussians25"
    config.train.batch_size = 256
    config.train.duration = "12000 steps"
    config.train.log_every = "1000 steps"
    config.train.checkpoint_every = "4000 steps"
    config.train.sample_every = "4000 steps"
    config.train.grid = 10_000
    config.sample.batch_size = 10_000
    return config
