"""DDGAN on the 8x8 digits, with the networks and R1 of the comparison of methods.

Command:   python -m ddgan_jax.main --config=configs/ddgan_r1_digits.py --workdir=runs/ddgan_r1
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/ddgan_r1
Data:      in the package (1,500 of the 1,797 UCI optical digits; 297 are held out)
Hardware:  one CPU core
Time:      3 min 9 s of training
Expected:  Fréchet distance 41.4 (digits classifier, 1,500 samples), precision 0.78, recall 0.56;
           measured, docs/comparison.md
Source:    configs/ddgan_digits.py with half its length and a stronger R1 (presets.DIGITS)
"""

from ddgan_jax.presets import DIGITS, ddgan, on_digits


def get_config():
    return on_digits(ddgan(num_steps=2, latent_size=32, **DIGITS))
