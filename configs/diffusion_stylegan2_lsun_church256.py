r"""Diffusion-StyleGAN2 on LSUN Church 256x256, with the published settings.

Command:   python -m ddgan_jax.main --workdir=runs/stylegan2_lsun_church256 \
             --config=configs/diffusion_stylegan2_lsun_church256.py
Data:      tfds:lsun/church_outdoor, prepared by TFDS (extra tf), or prepare folder
Hardware:  published: 4 or 8 V100 GPUs
Time:      days; not measured
Expected:  published: FID 3.17. Not trained with this code
Source:    Wang et al. 2022, arXiv 2206.02262; recipe `paper256`

The released command leaves out images that are wider than high; docs/reproduction.md.
"""

from ddgan_jax.presets import PAPER256, diffusion_stylegan2, on_square_images


def get_config():
    config = diffusion_stylegan2(**PAPER256)
    data = "tfds:lsun/church_outdoor"
    return on_square_images(config, data, 256, batch_size=64, images=25_000_000)
