"""GAN on MNIST, padded to 32x32: low-dimensional noise to image, the networks of DDGAN.

Command:   python -m ddgan_jax.main --config=configs/gan_mnist.py --workdir=runs/gan_mnist
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it);
           Fashion-MNIST: prepare fashion_mnist, and --config.data.name=tfds:fashion_mnist
Hardware:  one GPU
Time:      not measured yet
Expected:  not measured yet; the report of this comparison has no numbers
Source:    networks and rates of configs/ddgan_mnist.py
"""

from ddgan_jax.presets import MNIST, gan, on_mnist


def get_config():
    return on_mnist(gan(noise="latent", latent_size=64, **MNIST))
