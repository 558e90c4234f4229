"""Flax networks, and the registries of their config names."""

from ddgan_jax.networks import (
    autoencoder,
    ddpm_unet,
    encoder,
    mlp,
    ncsnpp,
    patchgan,
    resblock,
    resblock_unet,
    wavelet_ncsnpp,
)
from ddgan_jax.networks.entry import Network, build_network

__all__ = [
    "AUTOENCODERS",
    "DISCRIMINATORS",
    "ENCODERS",
    "GENERATORS",
    "PATCH_DISCRIMINATORS",
    "Network",
    "build_network",
]

GENERATORS = {
    "ncsnpp": ncsnpp.GENERATOR,
    "wavelet_ncsnpp": wavelet_ncsnpp.GENERATOR,
    "resblock": resblock_unet.GENERATOR,
    "mlp": mlp.GENERATOR,
    "ddpm_unet": ddpm_unet.GENERATOR,
}
DISCRIMINATORS = {"resblock": resblock.DISCRIMINATOR, "mlp": mlp.DISCRIMINATOR}
ENCODERS = {"resblock": encoder.RESBLOCK_ENCODER, "mlp": encoder.MLP_ENCODER}
AUTOENCODERS = {
    "conv": autoencoder.CONV_AUTOENCODER,
    "mlp": autoencoder.MLP_AUTOENCODER,
}
PATCH_DISCRIMINATORS = {"patch": patchgan.DISCRIMINATOR}
