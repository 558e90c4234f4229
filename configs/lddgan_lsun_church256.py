"""Latent DDGAN on LSUN Church 256x256, with the settings of the paper's tables.

Command:   python -m ddgan_jax.main --config=configs/autoencoder_lsun_church256.py --workdir=runs/ae
           python -m ddgan_jax.main --config=configs/lddgan_lsun_church256.py --workdir=runs/lddgan
Data:      tfds:lsun/church_outdoor, prepared by TFDS (extra tf), or prepare folder
Hardware:  published: two RTX A5000
Time:      published: 2.1 days; not measured
Expected:  published: FID 4.67, recall 0.42 (of VGG16 features: recall_vgg16). Not
           trained with this code
Source:    Trinh and Hamagami 2024, tables 1, 8, 9, 10; R1 as in Xiao et al. 2022

The latents are 32x32x3. The generator of table 8 has 48.4 million parameters; table 2 counts 40.92
million with the decoder.

Variants, --config=configs/lddgan_lsun_church256.py:VARIANT:
  paper     tables 8 and 10, and the released discriminator; the default
  released  the released command of training: no decay of the learning rates, no reconstruction
            loss, 50 numbers in z, three layers of the mapping network after the first, three blocks
            on each level, samples of the autoencoder's posterior divided by 60, 1,000 epochs, 8
            images on each of two GPUs, 120,000 training images; for
            configs/autoencoder_lsun_church256.py:released (32x32x4). The released command of
            testing names another run, with 100 numbers in z
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

RELEASED = dict(latent_size=50, gen=LDDGAN_AT_256["gen"] | dict(z_layers=3, blocks=3))
SETTINGS = {"paper": {}, "released": RELEASED, "table9": dict(disc=TABLE_9)}


def get_config(variant="paper"):
    check_variant(variant, *SETTINGS)
    settings = LDDGAN_AT_256 | SETTINGS[variant]
    config = lddgan(autoencoder="runs/ae", num_steps=4, lr_gen=2e-4, r1_gamma=1.0, **settings)
    config.ema_decay = 0.999
    length = dict(batch_size=128, duration="400 epochs", released=False)
    if variant == "released":
        lddgan_as_released(config, scale=60, sample=True, reconstruction=False)
        length = dict(batch_size=16, duration="1000 epochs", released=True)
    return at_256(config, "tfds:lsun/church_outdoor", **length)
