"""GAN on 25 Gaussians: a latent of two numbers.

Command:   python -m ddgan_jax.main --config=configs/gan_toy2d.py --workdir=runs/gan_toy2d
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/gan_toy2d
Data:      drawn by the package (gaussians25)
Hardware:  one CPU core
Time:      3 to 5 min of training, with other programs on the other core
Expected:  25 of 25 modes, 84.3 % and 87.1 % of 10,000 samples within 3 sigma (seeds 0 and 1); the
           rarest mode is nearly empty; measured, docs/comparison.md
Source:    presets.GAUSSIANS and gen.z_octaves: ours, docs/comparison.md
"""

from ddgan_jax.presets import GAUSSIANS, gan, on_gaussians


def get_config():
    config = on_gaussians(gan(noise="latent", latent_size=2, **GAUSSIANS))
    config.gen.z_octaves = 6
    return config
