"""Latent DDGAN on CIFAR-10, 32x32, with the settings of the paper's tables.

Command:   python -m ddgan_jax.main --config=configs/autoencoder_cifar10.py --workdir=runs/ae
           python -m ddgan_jax.main --config=configs/lddgan_cifar10.py --workdir=runs/lddgan
Data:      python -m ddgan_jax prepare cifar10 --source=FOLDER (cifar-10-batches-bin in it)
Hardware:  published: one RTX A5000
Time:      published: 1 day; not measured
Expected:  published: FID 2.98, recall 0.58 (of VGG16 features, unlike ours). Not
           trained with this code
Source:    Trinh and Hamagami 2024, tables 1, 8, 9, 10; R1 as in Xiao et al. 2022

The paper prints 25 numbers in z; with 50 the generator has 33,329,668 parameters, as many as the
released one. The released command has other settings, see docs/reproduction.md.
"""

from ddgan_jax.presets import CIFAR10_AT_16, lddgan, on_cifar10


def get_config():
    config = lddgan(autoencoder="runs/ae", latent_size=25, **CIFAR10_AT_16)
    config.ema_decay = 0.9999
    return on_cifar10(config, duration="1700 epochs")
