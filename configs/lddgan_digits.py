"""Latent DDGAN on the 8x8 digits that the package ships: minutes on a CPU.

Command:   python -m ddgan_jax.main --config=configs/autoencoder_digits.py --workdir=runs/ae
           python -m ddgan_jax.main --config=configs/lddgan_digits.py --workdir=runs/lddgan
           python -m ddgan_jax evaluate --workdir=runs/lddgan
Data:      in the package (1,500 of the 1,797 UCI optical digits; 297 are held out)
Hardware:  one CPU core
Time:      2 to 3 min of training, with other programs on the other core
Expected:  Fréchet distance 42.4 (digits classifier, 1,500 samples; seeds 0 and 1), precision 0.90,
           recall 0.58; measured, docs/results.md
Source:    method of Trinh and Hamagami 2024; sizes and lengths ours

--config.space.autoencoder=FOLDER names another autoencoder. Once training has begun, its copy in
the run folder is used.

Variants, --config=configs/lddgan_digits.py:VARIANT; the last three are a comparison of backbones in
latents, with one convolutional discriminator and 192,000 images (docs/results.md):
  mlp            the config above; the default
  backbone_mlp   its generator in the comparison
  backbone_cnn   a U-Net of residual blocks
  backbone_uvit  a small U-ViT; its samples stay poor
"""

from ml_collections import ConfigDict

from ddgan_jax.presets import check_variant, lddgan

MLP = dict(network="mlp", width=192, blocks=3, t_width=64, octaves=0)
GENERATORS = {
    "mlp": MLP,
    "backbone_mlp": MLP,
    "backbone_cnn": dict(
        network="resblock", width=32, multipliers=(1, 2), blocks=1, t_width=64, latent_map=True
    ),
    "backbone_uvit": dict(
        network="uvit", width=64, blocks=2, heads=4, patch=1, z_width=64, z_layers=2
    ),
}


def get_config(variant="mlp"):
    check_variant(variant, *GENERATORS)
    config = lddgan(
        autoencoder="runs/ae",
        num_steps=2,
        latent_size=32,
        gen=GENERATORS[variant] | dict(tanh=False),
        disc=dict(network="mlp", width=192, blocks=3, t_width=64, octaves=0, group=4),
        lr_gen=5e-4,
        lr_disc=5e-4,
        r1_gamma=1.0,
        r1_every=4,
    )
    # The largest latent is four standard deviations from 0. Divided by it, latents are four times
    # smaller than the noise, and the discriminator learns next to nothing (docs/results.md).
    config.space.unit = "deviation"
    config.ema_warmup = False  # as in the measured runs
    config.data.name = "digits"
    config.train.batch_size = 128
    config.train.duration = "6000 steps"
    config.train.log_every = "500 steps"
    config.train.checkpoint_every = "2000 steps"
    config.train.sample_every = "1000 steps"
    config.eval.num_samples = 1500
    if variant != "mlp":
        _compare(config, 3e-4 if variant == "backbone_uvit" else 1e-3)
    return config


def _compare(config, learning_rate):
    """The discriminator, rates and length of the comparison of backbones."""
    config.disc = ConfigDict(
        dict(
            network="resblock",
            width=24,
            multipliers=(2, 4),
            downsample=(False, False),
            t_width=64,
            final_scale=1.0,
        )
    )
    for role in config.optim.values():
        role.learning_rate = learning_rate
    config.ema_warmup = True
    config.train.batch_size = 64
    config.train.duration = "3000 steps"
    config.eval.every = "500 steps"
