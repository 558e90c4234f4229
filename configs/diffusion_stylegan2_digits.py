"""Diffusion-StyleGAN2 on the 8x8 digits: StyleGAN2's networks and training in a few channels.

Command:   python -m ddgan_jax.main --config=configs/diffusion_stylegan2_digits.py --workdir=runs/sg
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/sg
           python -m ddgan_jax sample --workdir=runs/sg --truncation=0.7
Data:      in the package (1,500 of the 1,797 UCI optical digits; 297 are held out)
Hardware:  one CPU core
Time:      3 min of training
Expected:  Fréchet distance 103 and 132 (digits classifier, 1,500 samples, seeds 0 and 1), precision
           0.54 and 0.45, recall 0.53 and 0.47; measured, docs/results.md.
           configs/diffusion_gan_digits.py: 35.9 with as many images
Source:    training as in Wang et al. 2022, arXiv 2206.02262, recipe `paper256`; sizes and R1 ours
"""

from ddgan_jax.presets import diffusion_stylegan2, on_digits


def get_config():
    config = diffusion_stylegan2(
        base=256,
        channel_max=32,
        width=64,
        layers=2,
        group=4,
        learning_rate=2.5e-3,
        r1_gamma=0.5,
        half_life=20_000.0,
        rampup=0.05,
    )
    config.disc.layers = 2
    return on_digits(config)
