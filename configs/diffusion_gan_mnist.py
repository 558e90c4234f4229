"""Diffusion-GAN on MNIST padded to 32x32: a GAN whose discriminator sees adaptive noise.

Command:   python -m ddgan_jax.main --config=configs/diffusion_gan_mnist.py --workdir=runs/diff_gan
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it);
           Fashion-MNIST: prepare fashion_mnist, and --config.data.name=tfds:fashion_mnist
Hardware:  one GPU
Time:      not measured
Expected:  the published report has curves and pictures only. Not trained with this code
Source:    networks and rates of configs/ddgan_mnist.py

Variant:   --config=configs/diffusion_gan_mnist.py:fixed has chains of fixed length, T = 100, as the
           report on DifGAN (Gui et al. 2023) trains Diffusion-GAN
"""

from ddgan_jax.presets import MNIST, check_variant, diffusion_gan, on_mnist


def get_config(variant="adaptive"):
    check_variant(variant, "adaptive", "fixed")
    config = on_mnist(diffusion_gan(noise="latent", latent_size=64, **MNIST))
    if variant == "fixed":
        config.instance_noise.t_min = config.instance_noise.t_max = 100
    return config
