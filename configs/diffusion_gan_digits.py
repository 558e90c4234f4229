"""Diffusion-GAN on the 8x8 digits: a GAN whose discriminator sees adaptive noise.

Command:   python -m ddgan_jax.main --config=configs/diffusion_gan_digits.py --workdir=runs/diff_gan
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/diff_gan
Data:      in the package (1,500 of the 1,797 UCI optical digits; 297 are held out)
Hardware:  one CPU core
Time:      2 min 57 s of training
Expected:  Fréchet distance 35.9 (digits classifier, 1,500 samples), precision 0.87, recall 0.57;
           measured, docs/comparison.md
Source:    networks and rates of configs/ddgan_digits.py; R1 ours (presets.DIGITS)
"""

from ddgan_jax.presets import DIGITS, diffusion_gan, on_digits


def get_config():
    return on_digits(diffusion_gan(noise="latent", latent_size=32, **DIGITS))
