"""Diffusion-GAN on 25 Gaussians: the high-dimensional GAN with adaptive noise.

Command:   python -m ddgan_jax.main --config=configs/diffusion_gan_toy2d.py --workdir=runs/diff_gan
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/diff_gan
Data:      drawn by the package (gaussians25)
Hardware:  one CPU core
Time:      3 to 4 min of training, with other programs on the other core
Expected:  25 of 25 modes, 79.3 % and 81.7 % of 10,000 samples within 3 sigma (seeds 0 and 1);
           measured, docs/comparison.md
Source:    presets.GAUSSIANS and gen.skip: ours, docs/comparison.md
"""

from ddgan_jax.presets import GAUSSIANS, diffusion_gan, on_gaussians


def get_config():
    config = on_gaussians(diffusion_gan(noise="image", **GAUSSIANS))
    config.gen.skip = True
    config.instance_noise.noise_std = 0.5  # 0.155 at t = 10; 0.05 is for images
    return config
