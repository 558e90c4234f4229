"""Networks, rates and data that several configs of published settings share.

The constants are keyword arguments of the presets of the methods. The header of each config names
the paper that the numbers are from.
"""

from typing import Any

from ml_collections import ConfigDict

from ddgan_jax.core.errors import UserError, nearest

# Training images of the published runs.
TRAINED_ON = {"tfds:celeb_a_hq/256": 27_000, "tfds:lsun/church_outdoor": 120_000}

# 256x256: DDGAN in pixels, WDDGAN in Haar bands of 128x128x12, LDDGAN in latents of 64x64 or 32x32.

DDGAN_AT_256: dict[str, Any] = dict(
    latent_size=100,
    gen=dict(
        network="ncsnpp",
        width=64,
        multipliers=(1, 1, 2, 2, 4, 4),
        blocks=2,
        attention=(16,),
        z_width=256,
        z_layers=3,
        dropout=0.0,
        remat=False,
    ),
    disc=dict(
        network="resblock",
        width=64,
        multipliers=(4, 8, 8, 8, 8, 8),
        downsample=(True,) * 6,
        t_width=256,
        final_scale=1.0,
    ),
    lr_disc=1e-4,
    r1_every=10,
)
WDDGAN_AT_256: dict[str, Any] = DDGAN_AT_256 | dict(
    gen=DDGAN_AT_256["gen"] | dict(network="wavelet_ncsnpp", multipliers=(1, 2, 2, 2, 4)),
    disc=DDGAN_AT_256["disc"] | dict(multipliers=(4, 8, 8, 8, 8), downsample=(True,) * 5),
)
LDDGAN_AT_256: dict[str, Any] = DDGAN_AT_256 | dict(
    latent_size=25,
    gen=DDGAN_AT_256["gen"] | dict(width=128, multipliers=(1, 2, 2, 2), z_layers=4),
    disc=DDGAN_AT_256["disc"] | dict(multipliers=(4, 8, 8, 8), downsample=(True,) * 4),
)
TABLE_9: dict[str, Any] = dict(  # discriminator of LDDGAN's paper: *small*, at every size
    network="resblock",
    width=64,
    multipliers=(2, 4, 8, 8),
    downsample=(False, True, True, True),
    t_width=256,
    final_scale=0.0,
)

# Autoencoders of LDDGAN: `CONV_AUTOENCODER` lacks `multipliers`, `attention` and
# `latent_channels`, which each config adds.

CONV_AUTOENCODER: dict[str, Any] = dict(
    network="conv",
    width=128,
    blocks=2,
    gaussian=True,  # the log-variance is used only if config.loss.kl is
    codes=0,
    tanh=False,
)
AUTOENCODER_AT_256: dict[str, Any] = dict(
    disc=dict(network="patch", width=64, layers=3),
    lpips=1.0,
    adversarial=0.5,
    adversarial_start=50_000,
    learning_rate=4.5e-5,
)

# CIFAR-10: rates and R1 of DDGAN, WDDGAN and LDDGAN, and the networks of the last two, which work
# at 16x16.

CIFAR10: dict[str, Any] = dict(
    num_steps=4, lr_gen=1.6e-4, lr_disc=1.25e-4, r1_gamma=0.02, r1_every=15
)
CIFAR10_AT_16: dict[str, Any] = CIFAR10 | dict(
    gen=dict(
        network="ncsnpp",
        width=128,
        multipliers=(1, 2, 2),
        blocks=2,
        attention=(),
        z_width=256,
        z_layers=4,
        dropout=0.0,
        remat=False,
    ),
    disc=dict(
        network="resblock",
        width=64,
        multipliers=(2, 4, 8),
        downsample=(False, True, True),
        t_width=256,
        final_scale=0.0,
    ),
)

# STL-10 at 64x64, as WDDGAN's authors trained on it: CIFAR-10's rates.

STL10_AT_32: dict[str, Any] = CIFAR10_AT_16 | dict(
    gen=CIFAR10_AT_16["gen"]
    | dict(network="wavelet_ncsnpp", multipliers=(1, 2, 2, 2), attention=(16,)),
    disc=CIFAR10_AT_16["disc"]
    | dict(multipliers=(2, 4, 8, 8), downsample=(False, True, True, True)),
)

# Diffusion-ProjectedGAN's command for CIFAR-10, with FastGAN.
PROJECTED_GAN: dict[str, Any] = dict(
    latent_size=256,
    gen=dict(network="fastgan", width=128),
    disc=dict(network="multi_scale", width=64),
    learning_rate=2e-4,
)

# Generators of LDDGAN's appendix C. The paper gives their parameters, with the decoder, not their
# sizes; these sizes are ours and have as many within 1 %.

_UVIT: dict[str, Any] = dict(network="uvit", patch=2, z_width=256, z_layers=4, remat=False)
UVIT: dict[str, dict[str, Any]] = {
    "uvit_tiny": _UVIT | dict(width=256, blocks=8, heads=4),
    "uvit_mid": _UVIT | dict(width=384, blocks=7, heads=6),
    "uvit_large": _UVIT | dict(width=400, blocks=9, heads=8),
}

# DDDG on MNIST at 32x32: the degradation of the paper, and our networks.

DDDG_MNIST: dict[str, Any] = dict(
    degradation="blur",
    levels=(6, 5, 4, 3, 2),
    latent_size=64,
    classes=10,
    gen=dict(
        network="ncsnpp",
        width=64,
        multipliers=(1, 2, 2),
        blocks=1,
        attention=(8,),
        z_width=256,
        z_layers=2,
        tanh=False,  # equation 2 adds x'_t to the output of the network
        normalize_z=False,  # the encoder predicts the length of z too
        coordinates=True,  # x_0 is constant, so positions have to be given
        equalized=True,
        remat=False,
    ),
    disc=dict(
        network="resblock",
        width=32,
        multipliers=(2, 4, 8, 8),
        downsample=(False, True, True, True),
        t_width=128,
        group=4,
        equalized=True,
    ),
)


def check_variant(variant: str, *known: str) -> None:
    """Raise a UserError unless `variant`, of --config=FILE.py:VARIANT, is one of `known`."""
    if variant not in known:
        raise UserError(
            f"variant {variant!r} is unknown; {' or '.join(known)} is needed"
            f"{nearest(variant, known)}"
        )


def lddgan_as_released(
    config: ConfigDict, *, scale: float, sample: bool, reconstruction: bool
) -> ConfigDict:
    """Set what the released commands of LDDGAN have in common.

    Args:
      config: the config to change.
      scale: `--scale_factor`, the divisor of the latents.
      sample: whether the autoencoder predicts a variance, so that latents are samples.
      reconstruction: whether the command has `--rec_loss`.

    Returns:
      `config`.
    """
    for role in config.optim.values():
        role.final_learning_rate = role.learning_rate  # --no_lr_decay
    config.space.scale = float(scale)
    config.space.sample = sample
    config.reconstruction.kind = "weighted" if reconstruction else "none"
    return config


def autoencoder_with_kl(config: ConfigDict, start: int) -> ConfigDict:
    """Set the losses of latent diffusion's autoencoders with a KL term.

    Args:
      config: the config to change.
      start: `disc_start`, the step from which the discriminator trains.

    Returns:
      `config`.
    """
    config.loss.kl = 1e-6
    config.loss.reduction = "sum"
    config.loss.adversarial_start = start
    return config


def at_256(
    config: ConfigDict,
    data: str,
    *,
    batch_size: int,
    duration: str,
    every: str = "5 epochs",
    num_samples: int = 50_000,
    released: bool = False,
) -> ConfigDict:
    """Set the data to color images of 256x256 with random flips.

    Args:
      config: the config to change.
      data: `config.data.name`.
      batch_size, duration: batch size and length of training.
      every: duration between two checkpoints, and between two sample grids.
      num_samples: images for the evaluation.
      released: train on as many images as the published runs, the first ones.

    Returns:
      `config`.
    """
    _color_images(config, data, 256)
    if released:
        config.data.split = f"train[:{TRAINED_ON[data]}]"
    config.train.batch_size = batch_size
    config.train.duration = duration
    config.train.checkpoint_every = config.train.sample_every = every
    config.eval.num_samples, config.eval.trials = num_samples, 300
    return config


def on_cifar10(
    config: ConfigDict, *, duration: str, batch_size: int = 256, num_samples: int = 50_000
) -> ConfigDict:
    """Set the data to CIFAR-10 with random flips, with a checkpoint and a grid every 5 epochs.

    Args:
      config: the config to change.
      duration, batch_size: length and batch size of training.
      num_samples: images for the evaluation.

    Returns:
      `config`.
    """
    _color_images(config, "tfds:cifar10", 32)
    config.train.batch_size = batch_size
    config.train.duration = duration
    config.train.checkpoint_every = config.train.sample_every = "5 epochs"
    config.eval.num_samples, config.eval.trials = num_samples, 300
    return config


def on_stl10(config: ConfigDict, *, duration: str, batch_size: int = 256) -> ConfigDict:
    """Set the data to the unlabelled images of STL-10 at 64x64, as `on_cifar10`."""
    on_cifar10(config, duration=duration, batch_size=batch_size)
    _color_images(config, "tfds:stl10", 64)
    config.data.split = "unlabelled"
    config.eval.split = "unlabelled"
    return config


def _color_images(config: ConfigDict, data: str, size: int) -> None:
    config.data.name = data
    config.data.image_size = size
    config.data.channels = 3
    config.data.flip = True
    config.ema_warmup = False  # the published runs have none
