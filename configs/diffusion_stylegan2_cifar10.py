r"""Diffusion-StyleGAN2 on CIFAR-10, 32x32, with the published settings.

Command:   python -m ddgan_jax.main --workdir=runs/stylegan2_cifar10 \
             --config=configs/diffusion_stylegan2_cifar10.py
Data:      python -m ddgan_jax prepare cifar10 --source=FOLDER (cifar-10-batches-bin in it)
Hardware:  published: 4 or 8 V100 GPUs
Time:      days; not measured
Expected:  published: FID 3.19. Not trained with this code
Source:    Wang et al. 2022, arXiv 2206.02262; recipe `cifar`
"""

from ddgan_jax.presets import CIFAR, diffusion_stylegan2, on_square_images


def get_config():
    config = diffusion_stylegan2(**CIFAR)
    return on_square_images(config, "tfds:cifar10", 32, batch_size=64, images=100_000_000)
