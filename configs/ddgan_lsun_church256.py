"""DDGAN on LSUN Church, 256x256: the published setting.

Command:   python -m ddgan_jax.main --config=configs/ddgan_lsun_church256.py --workdir=runs/lsun
Data:      prepared by TFDS (extra tf), or data.prepare folder
Hardware:  published runs: between 1 and 8 V100 or A100 (as the authors of LDDGAN report)
Time:      days; not measured by us
Expected:  published: FID 5.25, recall 0.41. Not trained by us
Source:    Xiao et al. 2022, arXiv 2112.07804
"""

from ddgan_jax.presets import DDGAN_AT_256, at_256, ddgan


def get_config():
    config = ddgan(num_steps=4, lr_gen=1.6e-4, r1_gamma=1.0, **DDGAN_AT_256)
    config.ema_decay = 0.999
    return at_256(config, "tfds:lsun/church_outdoor", batch_size=64, duration="500 epochs")
