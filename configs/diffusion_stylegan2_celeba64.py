r"""Diffusion-StyleGAN2 on CelebA at 64x64, with the published settings.

Command:   python -m ddgan_jax.main --workdir=runs/stylegan2_celeba64 \
             --config=configs/diffusion_stylegan2_celeba64.py
Data:      python -m ddgan_jax prepare folder --name=celeba --size=64 \
             --source=FOLDER (of the aligned images)
Hardware:  published: 4 or 8 V100 GPUs
Time:      days; not measured
Expected:  published: FID 1.69. Not trained with this code
Source:    Wang et al. 2022, arXiv 2206.02262; recipe `paper256`

Which recipe the released command uses at 64x64 is not known here: `paper256` is assumed, with the
channels at 64x64 that it gives.
"""

from ddgan_jax.presets import PAPER256, diffusion_stylegan2, on_square_images


def get_config():
    config = diffusion_stylegan2(**PAPER256)
    data = "tfds:image_folder/celeba"
    return on_square_images(config, data, 64, batch_size=64, images=25_000_000)
