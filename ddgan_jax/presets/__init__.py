"""Presets: functions that make the configs of a method, and settings that several configs share.

A config file calls the preset of a method (`ddgan`, `gan`, ...) and changes the fields that differ.
`comparison` has the networks, data and lengths of the comparison of methods, `published` those of
the published settings, `stylegan2` the recipes of Diffusion-StyleGAN2.
"""

from ddgan_jax.methods.autoencoder import autoencoder
from ddgan_jax.methods.dddg import dddg
from ddgan_jax.methods.ddgan import ddgan, lddgan, wddgan
from ddgan_jax.methods.ddpm import ddpm
from ddgan_jax.methods.diffusion_gan import diffusion_gan
from ddgan_jax.methods.difgan import difgan
from ddgan_jax.methods.gan import gan
from ddgan_jax.methods.projected_gan import projected_gan
from ddgan_jax.presets.comparison import (
    DIGITS,
    GAUSSIANS,
    MNIST,
    MNIST28,
    ddgan_on_small_mnist,
    on_digits,
    on_gaussians,
    on_mnist,
    on_mnist28,
)
from ddgan_jax.presets.published import (
    AUTOENCODER_AT_256,
    CIFAR10,
    CIFAR10_AT_16,
    CONV_AUTOENCODER,
    DDDG_MNIST,
    DDGAN_AT_256,
    LDDGAN_AT_256,
    PROJECTED_GAN,
    STL10_AT_32,
    TABLE_9,
    UVIT,
    WDDGAN_AT_256,
    at_256,
    autoencoder_with_kl,
    check_variant,
    lddgan_as_released,
    on_cifar10,
    on_stl10,
)
from ddgan_jax.presets.stylegan2 import (
    CIFAR,
    PAPER256,
    STL10,
    STYLEGAN2,
    diffusion_stylegan2,
    on_square_images,
)

__all__ = [
    "AUTOENCODER_AT_256",
    "CIFAR",
    "CIFAR10",
    "CIFAR10_AT_16",
    "CONV_AUTOENCODER",
    "DDDG_MNIST",
    "DDGAN_AT_256",
    "DIGITS",
    "GAUSSIANS",
    "LDDGAN_AT_256",
    "MNIST",
    "MNIST28",
    "PAPER256",
    "PROJECTED_GAN",
    "STL10",
    "STL10_AT_32",
    "STYLEGAN2",
    "TABLE_9",
    "UVIT",
    "WDDGAN_AT_256",
    "at_256",
    "autoencoder",
    "autoencoder_with_kl",
    "check_variant",
    "dddg",
    "ddgan",
    "ddgan_on_small_mnist",
    "ddpm",
    "diffusion_gan",
    "diffusion_stylegan2",
    "difgan",
    "gan",
    "lddgan",
    "lddgan_as_released",
    "on_cifar10",
    "on_digits",
    "on_gaussians",
    "on_mnist",
    "on_mnist28",
    "on_square_images",
    "on_stl10",
    "projected_gan",
    "wddgan",
]
