"""Diffusion-ProjectedGAN on the 8x8 digits, with random features: the code at work on a CPU.

Command:   python -m ddgan_jax.main --config=configs/diffusion_projected_gan_digits.py \
             --workdir=runs/projected --config.eval.every="500 steps"
Data:      in the package (1,500 of the 1,797 UCI optical digits; 297 are held out)
Hardware:  one CPU core
Time:      11 min of training with its evaluations, with other programs on the other core
Expected:  Fréchet distance 49.3 (digits classifier, 2,000 samples, seed 0), precision 0.48, recall
           0.86 after 64,000 images; measured, docs/results.md
Source:    Wang et al. 2022, arXiv 2206.02262; sizes, features and lengths ours
"""

from ddgan_jax.presets import on_digits, projected_gan


def get_config():
    config = projected_gan(
        latent_size=64,
        gen=dict(network="fastgan", width=8),
        disc=dict(network="multi_scale", width=8),
        learning_rate=1e-3,
    )
    config.features.network, config.features.size = "random", 128
    config.augment.update(color=0.0, translation=0.0, cutout=0.0)
    config = on_digits(config)
    config.ema_half_life = 5000.0
    config.train.duration = "2000 steps"
    config.train.batch_size = 32
    return config
