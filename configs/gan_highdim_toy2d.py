"""High-dimensional GAN on 25 Gaussians: noise of the size of the data, two numbers.

Command:   python -m ddgan_jax.main --config=configs/gan_highdim_toy2d.py --workdir=runs/highdim
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/highdim
Data:      drawn by the package (gaussians25)
Hardware:  one CPU core
Time:      3 to 4 min of training, with other programs on the other core
Expected:  25 of 25 modes, 86.4 % and 85.5 % of 10,000 samples within 3 sigma (seeds 0 and 1); the
           rarest mode is nearly empty with seed 0; measured, docs/comparison.md
Source:    presets.GAUSSIANS and gen.skip: ours, docs/comparison.md
"""

from ddgan_jax.presets import GAUSSIANS, gan, on_gaussians


def get_config():
    config = on_gaussians(gan(noise="image", **GAUSSIANS))
    config.gen.skip = True
    return config
