r"""Diffusion-ProjectedGAN on LSUN Church 256x256, with the published noise and features; the
generator is assumed.

Command:   python -m ddgan_jax.main --workdir=runs/projected_church \
             --config=configs/diffusion_projected_gan_lsun_church256.py
Data:      tfds:lsun/church_outdoor, prepared by TFDS (extra tf), or prepare folder;
           DDGAN_EFFICIENTNET=tf_efficientnet_lite0-0aa007d2.pth, weights that timm publishes
Hardware:  published: 4 or 8 V100 GPUs
Time:      not measured
Expected:  published: FID 1.85. Not trained with this code
Source:    Wang et al. 2022, arXiv 2206.02262, and its released code

The command of LSUN is not published: that of CIFAR-10 is assumed, with its generator and
batch.
"""

from ddgan_jax.presets import PROJECTED_GAN, on_square_images, projected_gan


def get_config():
    config = projected_gan(**PROJECTED_GAN)
    data = "tfds:lsun/church_outdoor"
    return on_square_images(config, data, 256, batch_size=64, images=50_000_000)
