"""GAN from noise of the image's size, on the 8x8 digits.

Command:   python -m ddgan_jax.main --config=configs/gan_highdim_digits.py --workdir=runs/highdim
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/highdim
Data:      in the package (1,500 of the 1,797 UCI optical digits; 297 are held out)
Hardware:  one CPU core
Time:      2 min 48 s of training
Expected:  Fréchet distance 34.6 (digits classifier, 1,500 samples), precision 0.93, recall 0.45;
           measured, docs/comparison.md
Source:    networks and rates of configs/ddgan_digits.py; R1 ours (presets.DIGITS)
"""

from ddgan_jax.presets import DIGITS, gan, on_digits


def get_config():
    return on_digits(gan(noise="image", **DIGITS))
