"""Latent DDGAN on CelebA-HQ, 256x256: the published setting.

Command:   python -m ddgan_jax.main --config=configs/autoencoder_celebahq256.py --workdir=runs/ae
           python -m ddgan_jax.main --config=configs/lddgan_celebahq256.py --workdir=runs/lddgan
Data:      prepared by TFDS (extra tf; it wants manual files), or data.prepare folder
Hardware:  published: two RTX A5000
Time:      published: 1.5 days; not measured by us
Expected:  published: FID 5.21, recall 0.40. Not trained by us
Source:    Trinh and Hamagami 2024, tables 1, 8, 9, 10; R1 as in Xiao et al. 2022

The latents are 64x64x4. Table 8's generator has 48.4 million parameters;
table 2 counts 45.39 with the decoder.
"""

from ddgan_jax.presets import LDDGAN_AT_256, at_256, lddgan


def get_config():
    config = lddgan(autoencoder="runs/ae", num_steps=2, lr_gen=2e-4, r1_gamma=2.0, **LDDGAN_AT_256)
    config.ema_decay = 0.999
    return at_256(config, "tfds:celeb_a_hq/256", batch_size=128, duration="400 epochs")
