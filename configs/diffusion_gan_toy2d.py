"""Diffusion-GAN on 25 Gaussians: the GAN, seen through adaptive noise.

Command:   python -m ddgan_jax.main --config=configs/diffusion_gan_toy2d.py --workdir=runs/diff_gan
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/diff_gan
Hardware:  one CPU core
Time:      3 to 5 min of training, other programs beside it
Expected:  22 of 25 modes, 76.0 % and 80.4 % of 10,000 samples within 3 sigma (seeds 0, 1):
           our measurement, docs/comparison.md
Source:    presets.GAUSSIANS: our choice, docs/comparison.md
"""

from ddgan_jax.presets import GAUSSIANS, diffusion_gan, on_gaussians


def get_config():
    settings = GAUSSIANS | dict(gen=GAUSSIANS["gen"] | dict(z_octaves=6))
    config = on_gaussians(diffusion_gan(noise="latent", latent_size=2, **settings))
    config.instance_noise.noise_std = 0.5  # the modes lie 0.7 apart: 0.05, for images, joins none
    return config
