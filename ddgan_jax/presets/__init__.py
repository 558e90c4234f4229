"""What each method's configs have in common: `config.base()` plus what the method needs.

A config file calls one of these and changes what is its own. `MNIST`, `DIGITS` and `GAUSSIANS` are
the networks and rates of the comparison of methods on each data set, `on_mnist`, `on_digits` and
`on_gaussians` its data and lengths. Where a method differs in more (`gen.skip`, `gen.z_octaves`),
its config says so.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from ddgan_jax.config.base import LATER, adam, base

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


def ddgan(
    *,
    num_steps: int,
    latent_size: int,
    gen: Mapping[str, Any],
    disc: Mapping[str, Any],
    lr_gen: float,
    lr_disc: float,
    r1_gamma: float,
    r1_every: int,
) -> ConfigDict:
    """`base()` plus what DDGAN needs. `gen` and `disc`: {"network": name, field: value, ...}."""
    config = _adversarial("ddgan", gen, disc, lr_gen, lr_disc, r1_gamma, r1_every)
    config.latent_size = latent_size  # nz
    config.diffusion = ConfigDict(dict(num_steps=num_steps, beta_min=0.1, beta_max=20.0))
    config.update(ConfigDict(LATER["ddgan"]))  # no reconstruction
    return config


def wddgan(**fields: Any) -> ConfigDict:
    """`ddgan(**fields)` in one level of Haar bands, with the reconstruction that WDDGAN adds."""
    config = ddgan(**fields)
    config.space = ConfigDict(dict(kind="wavelet", levels=1))
    config.reconstruction.kind = "constant"
    return config


def lddgan(*, autoencoder: str, **fields: Any) -> ConfigDict:
    """`ddgan(**fields)` in the latents of an autoencoder, whose run folder `autoencoder` is.

    `config.space.scale`, by which latents are divided: 0 for what is measured of the training data
    when training begins. `config.space.unit` says what: "largest", the largest absolute latent, or
    "deviation", the root of the mean square, which wants gen.tanh=False.
    """
    config = ddgan(**fields)
    config.space = ConfigDict(
        dict(kind="latent", autoencoder=autoencoder, scale=0.0, unit="largest")
    )
    config.reconstruction.kind = "weighted"
    return config


def autoencoder(
    *,
    network: Mapping[str, Any],
    disc: Mapping[str, Any],
    lpips: float,
    adversarial: float,
    adversarial_start: int,
    learning_rate: float,
) -> ConfigDict:
    """`base()` plus what an autoencoder needs. The rates stay constant, as in VQGAN's training.

    `network` and `disc`: {"network": name, field: value, ...}; the rest: see
    `methods.autoencoder.Weights`.
    """
    config = base()
    config.method = "autoencoder"
    config.autoencoder = ConfigDict(dict(network))
    config.disc = ConfigDict(dict(disc))
    config.loss = ConfigDict(
        dict(
            lpips=float(lpips),
            adversarial=float(adversarial),
            adversarial_start=adversarial_start,
            kl=0.0,  # the paper's point; its ablation turns it on
            codes=1.0,  # where there are any (config.autoencoder.codes)
        )
    )
    constant = adam(learning_rate, final_learning_rate=learning_rate)
    config.optim = ConfigDict(dict(autoencoder=dict(constant), disc=dict(constant)))
    return config


def dddg(
    *,
    degradation: str,
    levels: tuple[float, ...],
    latent_size: int,
    classes: int,
    gen: Mapping[str, Any],
    disc: Mapping[str, Any],
) -> ConfigDict:
    """`base()` plus what DDDG needs, with the paper's numbers; t_max is len(levels) + 1.

    `degradation` and `levels`: see `degradations.degradation`; `classes`: 0 for unconditional.
    """
    config = base()
    config.method = "dddg"
    config.latent_size = latent_size  # d_z, of each step
    config.classes = classes
    config.degradation = ConfigDict(dict(kind=degradation, levels=tuple(map(float, levels))))
    config.gen = ConfigDict(dict(gen))
    config.disc = ConfigDict(dict(disc))
    constant = adam(2e-3, final_learning_rate=2e-3, beta1=0.0, beta2=0.99)
    config.optim = ConfigDict(dict(gen=dict(constant), disc=dict(constant)))
    # lambda_r1 E||grad||^2 on the real image, not halved; at every step in the paper.
    config.r1 = ConfigDict(dict(weight=0.1, every=1))
    # lambda_enc; whether it is told the class; how slowly the latents' variance is learned.
    config.encoder = ConfigDict(dict(weight=1.0, per_class=False, variance_decay=0.999))
    return config


def gan(
    *,
    noise: str,
    latent_size: int = 0,
    gen: Mapping[str, Any],
    disc: Mapping[str, Any],
    lr_gen: float,
    lr_disc: float,
    r1_gamma: float,
    r1_every: int,
) -> ConfigDict:
    """`base()` plus what a GAN needs.

    `noise`: "latent", of `latent_size` numbers, or "image", of the data's own size.
    """
    config = _adversarial("gan", gen, disc, lr_gen, lr_disc, r1_gamma, r1_every)
    config.noise = noise
    if noise == "latent":
        config.latent_size = latent_size
    return config


def diffusion_gan(**fields: Any) -> ConfigDict:
    """`gan(**fields)` plus what Diffusion-GAN needs, with the paper's numbers."""
    config = gan(**fields)
    config.method = "diffusion_gan"
    config.instance_noise = ConfigDict(
        dict(  # see instance_noise.InstanceNoise
            t_min=10,
            t_max=1000,
            beta_min=1e-4,
            beta_max=0.02,
            noise_std=0.05,
            timesteps="priority",  # or uniform
            target=0.6,
            every=4,
            images=100_000,
        )
    )
    return config


def difgan(
    *,
    num_steps: int,
    gen: Mapping[str, Any],
    disc: Mapping[str, Any],
    lr_gen: float,
    lr_disc: float,
    r1_gamma: float,
    r1_every: int,
) -> ConfigDict:
    """`base()` plus what DifGAN needs; T is the number of weights."""
    config = _adversarial("difgan", gen, disc, lr_gen, lr_disc, r1_gamma, r1_every)
    # eta_k of x_k, k = 0..T-1: falling evenly from x_0, which is the sample; divided by their sum.
    weights = tuple((num_steps - k) / (num_steps * (num_steps + 1) / 2) for k in range(num_steps))
    config.difgan = ConfigDict(dict(weights_disc=weights, weights_gen=weights, saturating=False))
    return config


def ddpm(*, gen: Mapping[str, Any], learning_rate: float, clip: bool) -> ConfigDict:
    """`base()` plus what DDPM needs. `clip`: predicted data to [-1, 1] in sampling, for images."""
    config = base()
    config.method = "ddpm"
    config.diffusion = ConfigDict(dict(num_steps=1000, beta_min=1e-4, beta_max=0.02))
    config.gen = ConfigDict(dict(gen))
    config.optim = ConfigDict(dict(gen=adam(learning_rate, beta1=0.9, beta2=0.999)))
    config.sampler = ConfigDict(
        dict(
            kind="ancestral",  # or ddim
            steps=1000,  # of the diffusion's, at equal distances
            clip=clip,
        )
    )
    return config


def _adversarial(
    method: str,
    gen: Mapping[str, Any],
    disc: Mapping[str, Any],
    lr_gen: float,
    lr_disc: float,
    r1_gamma: float,
    r1_every: int,
) -> ConfigDict:
    config = base()
    config.method = method
    config.gen = ConfigDict(dict(gen))
    config.disc = ConfigDict(dict(disc))
    config.optim = ConfigDict(dict(gen=adam(lr_gen), disc=adam(lr_disc)))
    # gamma/2 E||grad||^2 on real data every so many steps, not multiplied by the interval.
    config.r1 = ConfigDict(dict(gamma=float(r1_gamma), every=r1_every))
    return config
