"""DifGAN on 25 Gaussians: 2 steps of one generator, each step discriminated.

Command:   python -m ddgan_jax.main --config=configs/difgan_toy2d.py --workdir=runs/difgan_toy2d
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/difgan_toy2d
Data:      drawn by the package (gaussians25)
Hardware:  one CPU core
Time:      5.4 and 5.7 min of training, with other programs on the other core
Expected:  25 and 24 of 25 modes, 95.4 % of 10,000 samples within 3 sigma (seeds 0 and 1); the
           rarest mode is nearly empty or missing; measured, docs/comparison.md
Source:    presets.GAUSSIANS and gen.skip: ours, docs/comparison.md
"""

from ddgan_jax.presets import GAUSSIANS, difgan, on_gaussians


def get_config():
    config = on_gaussians(difgan(num_steps=2, **GAUSSIANS))
    config.gen.skip = True
    return config
