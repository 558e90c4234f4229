"""Latent DDGAN on CelebA-HQ 256x256, with the settings of the paper's tables.

Command:   python -m ddgan_jax.main --config=configs/autoencoder_celebahq256.py --workdir=runs/ae
           python -m ddgan_jax.main --config=configs/lddgan_celebahq256.py --workdir=runs/lddgan
Data:      tfds:celeb_a_hq/256, prepared by TFDS (extra tf; needs files downloaded by hand), or
           python -m ddgan_jax prepare folder
Hardware:  published: two RTX A5000
Time:      published: 1.5 days; not measured
Expected:  published: FID 5.21, recall 0.40 (of VGG16 features, unlike ours). Not
           trained with this code
Source:    Trinh and Hamagami 2024, tables 1, 8, 9, 10; R1 as in Xiao et al. 2022

The latents are 64x64x4. The generator of table 8 has 48.4 million parameters; table 2 counts 45.39
million with the decoder. The released command has other settings, see docs/reproduction.md.
"""

from ddgan_jax.presets import LDDGAN_AT_256, at_256, lddgan


def get_config():
    config = lddgan(autoencoder="runs/ae", num_steps=2, lr_gen=2e-4, r1_gamma=2.0, **LDDGAN_AT_256)
    config.ema_decay = 0.999
    return at_256(config, "tfds:celeb_a_hq/256", batch_size=128, duration="400 epochs")
