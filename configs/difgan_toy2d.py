"""DifGAN on 25 Gaussians: 2 steps of one generator, judged at every step.

Command:   python -m ddgan_jax.main --config=configs/difgan_toy2d.py --workdir=runs/difgan_toy2d
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/difgan_toy2d
Hardware:  one CPU core
Time:      3 min 47 s of training on a shared core
Expected:  14 of 25 modes, 73.8 % of 10,000 samples within 3 sigma:
           our measurement, docs/comparison.md
Source:    presets.GAUSSIANS: our choice, docs/comparison.md
"""

from ddgan_jax.presets import GAUSSIANS, difgan, on_gaussians


def get_config():
    return on_gaussians(difgan(num_steps=2, **GAUSSIANS))
