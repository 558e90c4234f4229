"""GAN from low-dimensional noise, on the 8x8 digits, with DDGAN's networks.

Command:   python -m ddgan_jax.main --config=configs/gan_digits.py --workdir=runs/gan_digits
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/gan_digits
Data:      in the package (1,500 of the 1,797 UCI optical digits; 297 are held out)
Hardware:  one CPU core
Time:      2.9 min of training (seeds 0 and 1)
Expected:  Fréchet distance 37.7 (digits classifier, 1,500 samples), precision 0.88, recall 0.58;
           measured, docs/comparison.md
Source:    networks and rates of configs/ddgan_digits.py; R1 ours (presets.DIGITS)
"""

from ddgan_jax.presets import DIGITS, gan, on_digits


def get_config():
    return on_digits(gan(noise="latent", latent_size=32, **DIGITS))
