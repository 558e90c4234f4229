"""Diffusion-GAN on MNIST at its own 28x28, with small convolutions.

Command:   python -m ddgan_jax.main --config=configs/diffusion_gan_mnist28.py --workdir=runs/diff28
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it)
Hardware:  one CPU core
Time:      7.0 and 7.0 min of training, with other programs on the other core
Expected:  Fréchet distance 75 and 74 (MNIST classifier, 2,000 samples, seeds 0 and 1), balance of
           classes 0.97 and 0.95; measured, docs/comparison.md
Source:    networks, rates and length ours (presets.MNIST28)
"""

from ddgan_jax.presets import MNIST28, diffusion_gan, on_mnist28


def get_config():
    return on_mnist28(diffusion_gan(noise="latent", latent_size=64, **MNIST28))
