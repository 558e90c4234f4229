"""GAN from low-dimensional noise, on MNIST at its own 28x28, with small convolutions.

Command:   python -m ddgan_jax.main --config=configs/gan_mnist28.py --workdir=runs/gan_mnist28
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it)
Hardware:  one CPU core
Time:      6.7 and 6.2 min of training, with other programs on the other core
Expected:  Fréchet distance 79 and 76 (MNIST classifier, 2,000 samples, seeds 0 and 1), balance of
           classes 0.95 and 0.95; measured, docs/comparison.md
Source:    networks, rates and length ours (presets.MNIST28)
"""

from ddgan_jax.presets import MNIST28, gan, on_mnist28


def get_config():
    return on_mnist28(gan(noise="latent", latent_size=64, **MNIST28))
