"""Latent DDGAN on CelebA-HQ 256x256, with the settings of the paper's tables.

Command:   python -m ddgan_jax.main --config=configs/autoencoder_celebahq256.py --workdir=runs/ae
           python -m ddgan_jax.main --config=configs/lddgan_celebahq256.py --workdir=runs/lddgan
Data:      tfds:celeb_a_hq/256, prepared by TFDS (extra tf; needs files downloaded by hand), or
           python -m ddgan_jax prepare folder
Hardware:  published: two RTX A5000
Time:      published: 1.5 days; not measured
Expected:  published: FID 5.21, recall 0.40 (of VGG16 features: recall_vgg16). Not
           trained with this code
Source:    Trinh and Hamagami 2024, tables 1, 8, 9, 10; R1 as in Xiao et al. 2022

The latents are 64x64x4. The generator of table 8 has 48.4 million parameters; table 2 counts 45.39
million with the decoder.

Variants, --config=configs/lddgan_celebahq256.py:VARIANT:
  paper     tables 8 and 10, and the released discriminator; the default
  released  the released command: no decay of the learning rates, 100 numbers in z, three layers of
            the mapping network after the first, latents divided by 6, 500 epochs, 32 images on each
            of two GPUs, 27,000 training images; for configs/autoencoder_celebahq256.py:released
            (64x64x3, no variance)
  table9    paper, with the discriminator of table 9
"""

from ddgan_jax.presets import (
    LDDGAN_AT_256,
    TABLE_9,
    at_256,
    check_variant,
    lddgan,
    lddgan_as_released,
)

RELEASED = dict(latent_size=100, gen=LDDGAN_AT_256["gen"] | dict(z_layers=3))
SETTINGS = {"paper": {}, "released": RELEASED, "table9": dict(disc=TABLE_9)}


def get_config(variant="paper"):
    check_variant(variant, *SETTINGS)
    settings = LDDGAN_AT_256 | SETTINGS[variant]
    config = lddgan(autoencoder="runs/ae", num_steps=2, lr_gen=2e-4, r1_gamma=2.0, **settings)
    config.ema_decay = 0.999
    length = dict(batch_size=128, duration="400 epochs", released=False)
    if variant == "released":
        lddgan_as_released(config, scale=6, sample=False, reconstruction=True)
        length = dict(batch_size=64, duration="500 epochs", released=True)
    return at_256(config, "tfds:celeb_a_hq/256", **length)
