"""GAN from low-dimensional noise, on MNIST padded to 32x32, with DDGAN's networks.

Command:   python -m ddgan_jax.main --config=configs/gan_mnist.py --workdir=runs/gan_mnist
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it);
           Fashion-MNIST: prepare fashion_mnist, and --config.data.name=tfds:fashion_mnist
Hardware:  one GPU
Time:      not measured
Expected:  the published report has curves and pictures only. Not trained with this code
Source:    networks and rates of configs/ddgan_mnist.py

Algorithm 3 of the report has k steps of the discriminator for each of the generator, and the
saturating loss: --config.adversarial.disc_steps=2 --config.adversarial.loss=saturating. The report
does not give k.
"""

from ddgan_jax.presets import MNIST, gan, on_mnist


def get_config():
    return on_mnist(gan(noise="latent", latent_size=64, **MNIST))
