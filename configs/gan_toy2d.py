"""GAN on 25 Gaussians: low-dimensional noise to image, the networks of DDGAN.

Command:   python -m ddgan_jax.main --config=configs/gan_toy2d.py --workdir=runs/gan_toy2d
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/gan_toy2d
Hardware:  two CPU cores
Time:      not measured yet
Expected:  not measured yet
Source:    networks and rates of configs/ddgan_toy2d.py (presets.GAUSSIANS)
"""

from ddgan_jax.presets import GAUSSIANS, gan, on_gaussians


def get_config():
    return on_gaussians(gan(noise="latent", latent_size=2, **GAUSSIANS))
