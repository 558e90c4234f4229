"""Latent DDGAN on LSUN Church, 256x256: the published setting.

Command:   python -m ddgan_jax.main --config=configs/autoencoder_lsun_church256.py --workdir=runs/ae
           python -m ddgan_jax.main --config=configs/lddgan_lsun_church256.py --workdir=runs/lddgan
Data:      prepared by TFDS (extra tf), or data.prepare folder
Hardware:  published: two RTX A5000
Time:      published: 2.1 days; not measured by us
Expected:  published: FID 4.67, recall 0.42. Not trained by us
Source:    Trinh and Hamagami 2024, tables 1, 8, 9, 10; R1 as in Xiao et al. 2022

The latents are 32x32x3. Table 8's generator has 48.4 million parameters;
table 2 counts 40.92 with the decoder.
"""

from ddgan_jax.presets import LDDGAN_AT_256, at_256, lddgan


def get_config():
    config = lddgan(autoencoder="runs/ae", num_steps=4, lr_gen=2e-4, r1_gamma=1.0, **LDDGAN_AT_256)
    config.ema_decay = 0.999
    return at_256(config, "tfds:lsun/church_outdoor", batch_size=128, duration="400 epochs")
