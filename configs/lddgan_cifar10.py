"""Latent DDGAN on CIFAR-10, 32x32, with the settings of the paper's tables.

Command:   python -m ddgan_jax.main --config=configs/autoencoder_cifar10.py --workdir=runs/ae
           python -m ddgan_jax.main --config=configs/lddgan_cifar10.py --workdir=runs/lddgan
Data:      python -m ddgan_jax prepare cifar10 --source=FOLDER (cifar-10-batches-bin in it)
Hardware:  published: one RTX A5000
Time:      published: 1 day; not measured
Expected:  published: FID 2.98, recall 0.58 (of VGG16 features: recall_vgg16). Not
           trained with this code
Source:    Trinh and Hamagami 2024, tables 1, 8, 9, 10; R1 as in Xiao et al. 2022

Variants, --config=configs/lddgan_cifar10.py:VARIANT:
  paper     the tables; the default. The discriminator is that of WDDGAN and of the released command
  released  the released command: no decay of the learning rates, 50 numbers in z, samples of the
            autoencoder's posterior divided by 105, 2,000 epochs; for
            configs/autoencoder_cifar10.py:released. The generator has 33,329,668 parameters, as
            many as the released one
  table9    paper, with the discriminator of table 9
  uvit_tiny paper, with a transformer generator of appendix C for 2,300 epochs; published: FID
            4.33, recall 0.54. Its size is ours; the paper gives its number of parameters
  uvit_mid  likewise; published: FID 3.21, recall 0.57
  uvit_large  likewise; published: FID 2.97, recall 0.59
"""

from ddgan_jax.presets import (
    CIFAR10_AT_16,
    TABLE_9,
    UVIT,
    check_variant,
    lddgan,
    lddgan_as_released,
    on_cifar10,
)


def get_config(variant="paper"):
    check_variant(variant, "paper", "released", "table9", *UVIT)
    settings, duration = CIFAR10_AT_16, "1700 epochs"
    if variant == "table9":
        settings = settings | dict(disc=TABLE_9)
    if variant in UVIT:
        settings, duration = settings | dict(gen=UVIT[variant]), "2300 epochs"
    if variant == "released":
        duration = "2000 epochs"
    latent_size = 50 if variant == "released" else 25
    config = lddgan(autoencoder="runs/ae", latent_size=latent_size, **settings)
    config.ema_decay = 0.9999
    if variant == "released":
        lddgan_as_released(config, scale=105, sample=True, reconstruction=True)
    return on_cifar10(config, duration=duration)
