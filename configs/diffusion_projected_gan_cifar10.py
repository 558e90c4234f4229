r"""Diffusion-ProjectedGAN on CIFAR-10, 32x32, with the published noise and features; the generator
is assumed.

Command:   python -m ddgan_jax.main --workdir=runs/projected_cifar10 \
             --config=configs/diffusion_projected_gan_cifar10.py
Data:      python -m ddgan_jax prepare cifar10 --source=FOLDER (cifar-10-batches-bin in it);
           DDGAN_EFFICIENTNET=tf_efficientnet_lite0-0aa007d2.pth, weights that timm publishes
Hardware:  published: 4 or 8 V100 GPUs
Time:      not measured
Expected:  published: FID 2.54. Not trained with this code
Source:    Wang et al. 2022, arXiv 2206.02262, and its released code: command of CIFAR-10

The released command does not say that the generator is FastGAN, nor the batch: both are assumed
(docs/reproduction.md). --config.features.network=random needs no weights, and is no published
setting.
"""

from ddgan_jax.presets import PROJECTED_GAN, on_square_images, projected_gan


def get_config():
    config = projected_gan(**PROJECTED_GAN)
    return on_square_images(config, "tfds:cifar10", 32, batch_size=64, images=50_000_000)
