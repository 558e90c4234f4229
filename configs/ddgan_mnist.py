"""DDGAN on MNIST padded to 32x32, with a small NCSN++.

Command:   python -m ddgan_jax.main --config=configs/ddgan_mnist.py --workdir=runs/mnist
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it)
Hardware:  one GPU
Time:      not measured on a GPU; docs/results.md has the time of a step on two CPU cores
Expected:  no published result. Not trained with this code
Source:    NCSN++ of a quarter of the width of configs/ddgan_cifar10.py; other settings ours
           (presets.MNIST)
"""

from ddgan_jax.presets import MNIST, ddgan, on_mnist


def get_config():
    return on_mnist(ddgan(num_steps=4, latent_size=64, **MNIST))
