"""DDGAN on MNIST, padded to 32x32, with a small NCSN++.

Command:   python -m ddgan_jax.main --config=configs/ddgan_mnist.py --workdir=runs/mnist
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it)
Hardware:  one GPU; on two CPU cores it only shows that it runs
Time:      not measured on a GPU yet; docs/results.md has what was measured
Expected:  no published number: the report of this setting shows pictures only
Source:    sizes chosen by us, a quarter of the published CIFAR-10 width; the rest as there
"""

from ddgan_jax.presets import MNIST, ddgan, on_mnist


def get_config():
    return on_mnist(ddgan(num_steps=4, latent_size=64, **MNIST))
