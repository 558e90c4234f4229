"""GAN from noise of the image's size, on MNIST padded to 32x32.

Command:   python -m ddgan_jax.main --config=configs/gan_highdim_mnist.py --workdir=runs/highdim
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it);
           Fashion-MNIST: prepare fashion_mnist, and --config.data.name=tfds:fashion_mnist
Hardware:  one GPU
Time:      not measured
Expected:  the published report has curves and pictures only. Not trained with this code
Source:    networks and rates of configs/ddgan_mnist.py
"""

from ddgan_jax.presets import MNIST, gan, on_mnist


def get_config():
    return on_mnist(gan(noise="image", **MNIST))
