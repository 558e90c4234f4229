r"""Diffusion-StyleGAN2 on STL-10 at 64x64, with the published settings.

Command:   python -m ddgan_jax.main --workdir=runs/stylegan2_stl10 \
             --config=configs/diffusion_stylegan2_stl10.py
Data:      python -m ddgan_jax prepare stl10 --source=FOLDER (stl10_binary in it)
Hardware:  published: 4 or 8 V100 GPUs
Time:      days; not measured
Expected:  published: FID 11.53. Not trained with this code
Source:    Wang et al. 2022, arXiv 2206.02262; recipe `stl10` of the released
           code
"""

from ddgan_jax.presets import STL10, diffusion_stylegan2, on_square_images


def get_config():
    config = diffusion_stylegan2(**STL10)
    on_square_images(config, "tfds:stl10", 64, batch_size=64, images=50_000_000)
    config.data.split = config.eval.split = "unlabelled"
    return config
