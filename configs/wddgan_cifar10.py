"""WDDGAN on CIFAR-10 in Haar bands of 16x16x12, with the published settings.

Command:   python -m ddgan_jax.main --config=configs/wddgan_cifar10.py --workdir=runs/wcifar10
Data:      python -m ddgan_jax prepare cifar10 --source=FOLDER (cifar-10-batches-bin in it)
Hardware:  published runs: 1 to 8 V100 or A100 GPUs (reported by Trinh and Hamagami 2024)
Time:      not measured
Expected:  published: FID 4.01. Not trained with this code
Source:    Phung et al. 2023, arXiv 2211.16152; numbers and results as given by Trinh and
           Hamagami 2024, arXiv 2406.11713

The generator is the plain NCSN++ on bands, with attention at the lowest resolution only.
docs/reproduction.md has the known differences from the released code.
"""

from ddgan_jax.presets import CIFAR10_AT_16, on_cifar10, wddgan


def get_config():
    config = wddgan(latent_size=100, **CIFAR10_AT_16)
    config.ema_decay = 0.9999
    return on_cifar10(config, duration="1800 epochs")
