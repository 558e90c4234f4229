"""DifGAN on MNIST, padded to 32x32: 4 steps of one generator, judged at every step.

Command:   python -m ddgan_jax.main --config=configs/difgan_mnist.py --workdir=runs/difgan_mnist
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it);
           Fashion-MNIST: prepare fashion_mnist, and --config.data.name=tfds:fashion_mnist
Hardware:  one GPU
Time:      not measured yet
Expected:  not measured yet; the report of this comparison has no numbers
Source:    networks and rates of configs/ddgan_mnist.py
"""

from ddgan_jax.presets import MNIST, difgan, on_mnist


def get_config():
    return on_mnist(difgan(num_steps=4, **MNIST))
