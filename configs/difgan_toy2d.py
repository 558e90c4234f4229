"""DifGAN on 25 Gaussians: 4 steps of one generator, judged at every step.

Command:   python -m ddgan_jax.main --config=configs/difgan_toy2d.py --workdir=runs/difgan_toy2d
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/difgan_toy2d
Hardware:  two CPU cores
Time:      not measured yet
Expected:  not measured yet
Source:    networks and rates of configs/ddgan_toy2d.py (presets.GAUSSIANS)
"""

from ddgan_jax.presets import GAUSSIANS, difgan, on_gaussians


def get_config():
    return on_gaussians(difgan(num_steps=4, **GAUSSIANS))
