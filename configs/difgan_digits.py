"""DifGAN on the 8x8 digits: 2 steps of one generator, each step discriminated.

Command:   python -m ddgan_jax.main --config=configs/difgan_digits.py --workdir=runs/difgan_digits
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/difgan_digits
Data:      in the package (1,500 of the 1,797 UCI optical digits; 297 are held out)
Hardware:  one CPU core
Time:      5 min 13 s of training, with other programs on the other core
Expected:  Fréchet distance 107 and 96 (digits classifier, 1,500 samples, seeds 0 and 1), precision
           0.88 and 0.89, recall 0.41 and 0.43;
           measured, docs/comparison.md
Source:    networks and rates of configs/ddgan_digits.py; R1 (presets.DIGITS) and gen.skip ours
"""

from ddgan_jax.presets import DIGITS, difgan, on_digits


def get_config():
    config = on_digits(difgan(num_steps=2, **DIGITS))
    config.gen.skip = True  # without it training collapses for long
    return config
