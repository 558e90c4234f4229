"""Diffusion-GAN on MNIST padded to 32x32: a GAN whose discriminator sees adaptive noise.

Command:   python -m ddgan_jax.main --config=configs/diffusion_gan_mnist.py --workdir=runs/diff_gan
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it);
           Fashion-MNIST: prepare fashion_mnist, and --config.data.name=tfds:fashion_mnist
Hardware:  one GPU
Time:      not measured
Expected:  the published report has curves and pictures only. Not trained with this code
Source:    networks and rates of configs/ddgan_mnist.py
"""

from ddgan_jax.presets import MNIST, diffusion_gan, on_mnist


def get_config():
    return on_mnist(diffusion_gan(noise="latent", latent_size=64, **MNIST))
