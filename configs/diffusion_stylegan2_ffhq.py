r"""Diffusion-StyleGAN2 on FFHQ, 1024x1024, with the published settings.

Command:   python -m ddgan_jax.main --workdir=runs/stylegan2_ffhq \
             --config=configs/diffusion_stylegan2_ffhq.py
Data:      python -m ddgan_jax prepare folder --name=ffhq --size=1024 --source=FOLDER
Hardware:  published: 4 or 8 V100 GPUs
Time:      days; not measured
Expected:  published: FID 2.83. Not trained with this code
Source:    Wang et al. 2022, arXiv 2206.02262; recipe `stylegan2`

The released code says that t is better drawn uniformly for FFHQ than by priority, so it is here;
the command of the published run is not known. For 256x256: --config.data.image_size=256.
"""

from ddgan_jax.presets import STYLEGAN2, diffusion_stylegan2, on_square_images


def get_config():
    config = diffusion_stylegan2(**STYLEGAN2)
    config.instance_noise.timesteps = "uniform"
    data = "tfds:image_folder/ffhq"
    return on_square_images(config, data, 1024, batch_size=32, images=25_000_000)
