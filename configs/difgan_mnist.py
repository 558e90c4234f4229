"""DifGAN on MNIST padded to 32x32: 4 steps of one generator, each step discriminated.

Command:   python -m ddgan_jax.main --config=configs/difgan_mnist.py --workdir=runs/difgan_mnist
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it);
           Fashion-MNIST: prepare fashion_mnist, and --config.data.name=tfds:fashion_mnist
Hardware:  one GPU
Time:      not measured
Expected:  the published report has curves and pictures only. Not trained with this code
Source:    networks and rates of configs/ddgan_mnist.py
"""

from ddgan_jax.presets import MNIST, difgan, on_mnist


def get_config():
    return on_mnist(difgan(num_steps=4, **MNIST))
