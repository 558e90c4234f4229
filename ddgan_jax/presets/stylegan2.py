"""Configs of Diffusion-StyleGAN2: recipes `cifar`, `stl10`, `paper256`, `stylegan2` of its code.

Wang et al. 2022, arXiv 2206.02262, on the recipes of Karras et al. 2020 (arXiv 2006.06676).
"""

from typing import Any

from ml_collections import ConfigDict

from ddgan_jax.methods.diffusion_gan import diffusion_gan

# What the recipes differ in, as arguments of `diffusion_stylegan2`.
CIFAR: dict[str, Any] = dict(
    base=32768,
    layers=2,
    architecture="orig",
    group=32,
    learning_rate=2.5e-3,
    r1_gamma=0.01,
    half_life=500_000.0,
    rampup=0.05,
    path_weight=0.0,
    mixing=0.0,
)
STL10: dict[str, Any] = dict(
    base=32768,
    layers=2,
    group=32,
    learning_rate=2.5e-3,
    r1_gamma=0.05,
    half_life=500_000.0,
    rampup=0.05,
)
PAPER256: dict[str, Any] = dict(base=16384, group=8, learning_rate=2.5e-3, r1_gamma=1.0)
STYLEGAN2: dict[str, Any] = dict(
    base=32768, group=4, learning_rate=2e-3, r1_gamma=10.0, half_life=10_000.0
)


def diffusion_stylegan2(
    *,
    base: int,
    group: int,
    learning_rate: float,
    r1_gamma: float,
    layers: int = 8,
    architecture: str = "resnet",
    half_life: float = 20_000.0,
    rampup: float = 0.0,
    path_weight: float = 2.0,
    mixing: float = 0.9,
    width: int = 512,
    channel_max: int = 512,
    r1_every: int = 16,
    path_every: int = 4,
) -> ConfigDict:
    """Diffusion-StyleGAN2: Diffusion-GAN with StyleGAN2's networks and training.

    Args:
      base, channel_max: channels at resolution r are min(base / r, channel_max), in both networks.
      group: group size of the minibatch standard deviation.
      learning_rate: of both networks, constant, before it is rescaled for lazy regularization.
      r1_gamma, r1_every: R1, multiplied by its interval.
      layers: layers of the generator's mapping network; the discriminator's has 8.
      architecture: of the discriminator; the generator's is "skip".
      half_life, rampup: of the averaged weights, in images.
      path_weight, path_every: path length penalty, multiplied by its interval.
      mixing: probability of style mixing.
      width: size of z and w.
    """
    sizes = dict(network="stylegan2", channel_base=base, channel_max=channel_max)
    config = diffusion_gan(
        noise="latent",
        latent_size=width,
        gen=dict(**sizes, width=width, layers=layers, architecture="skip"),
        disc=dict(**sizes, architecture=architecture, group=group, layers=8, timed=True),
        lr_gen=learning_rate,
        lr_disc=learning_rate,
        r1_gamma=r1_gamma,
        r1_every=r1_every,
    )
    for role, interval in (("gen", path_every), ("disc", r1_every)):
        config.optim[role].update(
            final_learning_rate=learning_rate, beta1=0.0, beta2=0.99, lazy_interval=interval
        )
    config.adversarial.order = "gen_first"
    config.lazy.scaled = config.lazy.own_step = True
    config.path_length.weight, config.path_length.every = path_weight, path_every
    config.styles.mixing = mixing
    config.ema_half_life, config.ema_rampup = half_life, rampup
    return config


def on_square_images(
    config: ConfigDict, data: str, size: int, *, batch_size: int, images: int
) -> ConfigDict:
    """Set the data to color images of size x size with random flips, and the images of a run.

    A checkpoint and a grid are written every 200,000 images, as published.
    """
    config.data.name, config.data.image_size, config.data.channels = data, size, 3
    config.data.flip = True  # the default of the released command
    config.train.batch_size, config.train.duration = batch_size, f"{images} images"
    config.train.checkpoint_every = config.train.sample_every = "200000 images"
    config.eval.num_samples, config.eval.trials = 50_000, 300
    return config
