"""DDPM on MNIST padded to 32x32: DDGAN's generator predicts noise; DDIM with 50 steps.

Command:   python -m ddgan_jax.main --config=configs/ddpm_mnist.py --workdir=runs/ddpm_mnist
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it);
           Fashion-MNIST: prepare fashion_mnist, and --config.data.name=tfds:fashion_mnist
Hardware:  one GPU
Time:      not measured
Expected:  no published result. Not trained with this code
Source:    networks and rates of configs/ddgan_mnist.py

Sampling works with any number of steps of either sampler, also after training; DDPM's own is
--mode=sample --config.sampler.kind=ancestral --config.sampler.steps=1000.
"""

from ddgan_jax.presets import MNIST, ddpm, on_mnist


def get_config():
    gen = MNIST["gen"] | dict(tanh=False)  # the output is noise, which is not bounded
    config = on_mnist(ddpm(gen=gen, learning_rate=MNIST["lr_gen"], clip=True))
    config.sampler.kind, config.sampler.steps = "ddim", 50
    return config
