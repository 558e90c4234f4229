"""DDPM on 25 Gaussians: DDGAN's generator predicts noise, 1,000 steps.

Command:   python -m ddgan_jax.main --config=configs/ddpm_toy2d.py --workdir=runs/ddpm_toy2d
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/ddpm_toy2d
Data:      drawn by the package (gaussians25)
Hardware:  one CPU core
Time:      3.1 and 2.3 min of training (seeds 0 and 1)
Expected:  25 of 25 modes, 98.6 % and 98.4 % of 10,000 samples within 3 sigma, ancestral sampling
           (seeds 0 and 1); measured, docs/comparison.md
Source:    network of configs/ddgan_toy2d.py, without its skip (presets.GAUSSIANS)

Sampling works with any number of steps of either sampler, also after training, for example with
--mode=sample --config.sampler.kind=ddim --config.sampler.steps=50.
"""

from ddgan_jax.presets import GAUSSIANS, ddpm, on_gaussians


def get_config():
    return on_gaussians(ddpm(gen=GAUSSIANS["gen"], learning_rate=5e-4, clip=False))
