"""DDGAN on CelebA-HQ, 256x256: the published setting.

Command:   python -m ddgan_jax.main --config=configs/ddgan_celebahq256.py --workdir=runs/celebahq256
Data:      prepared by TFDS (extra tf; it wants manual files), or data.prepare folder
Hardware:  published runs: between 1 and 8 V100 or A100 (as the authors of LDDGAN report)
Time:      days; not measured by us
Expected:  published: FID 7.64, recall 0.36. Not trained by us
Source:    Xiao et al. 2022, arXiv 2112.07804; EMA 0.999 as printed there (the released command
           leaves 0.9999)
"""

from ddgan_jax.presets import DDGAN_AT_256, at_256, ddgan


def get_config():
    config = ddgan(num_steps=2, lr_gen=2e-4, r1_gamma=2.0, **DDGAN_AT_256)
    config.ema_decay = 0.999
    return at_256(config, "tfds:celeb_a_hq/256", batch_size=32, duration="800 epochs")
