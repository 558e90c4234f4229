"""DDGAN on MNIST at its own 28x28, with small convolutions.

Command:   python -m ddgan_jax.main --config=configs/ddgan_mnist28.py --workdir=runs/ddgan_mnist28
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it)
Hardware:  one CPU core
Time:      6.8 and 7.2 min of training, with other programs on the other core
Expected:  Fréchet distance 90 and 97 (MNIST classifier, 2,000 samples, seeds 0 and 1), balance of
           classes 0.91 and 0.87; measured, docs/comparison.md
Source:    networks, rates and length ours (presets.MNIST28)
"""

from ddgan_jax.presets import MNIST28, ddgan, on_mnist28


def get_config():
    return on_mnist28(ddgan(num_steps=2, latent_size=64, **MNIST28))
