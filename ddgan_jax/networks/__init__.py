"""Flax networks, and the registries of their config names."""

from ddgan_jax.networks import (
    autoencoder,
    ddpm_unet,
    encoder,
    fastgan,
    mlp,
    multi_scale,
    ncsnpp,
    patchgan,
    resblock,
    resblock_unet,
    stylegan2_discriminator,
    stylegan2_generator,
    uvit,
    wavelet_ncsnpp,
)
from ddgan_jax.networks.entry import Network, build_network, ends_with_tanh

__all__ = [
    "AUTOENCODERS",
    "DISCRIMINATORS",
    "ENCODERS",
    "FEATURE_DISCRIMINATORS",
    "FEATURE_GENERATORS",
    "GENERATORS",
    "PATCH_DISCRIMINATORS",
    "STYLE_GENERATORS",
    "Network",
    "build_network",
    "ends_with_tanh",
]

GENERATORS = {
    "ncsnpp": ncsnpp.GENERATOR,
    "wavelet_ncsnpp": wavelet_ncsnpp.GENERATOR,
    "resblock": resblock_unet.GENERATOR,
    "uvit": uvit.GENERATOR,
    "mlp": mlp.GENERATOR,
    "ddpm_unet": ddpm_unet.GENERATOR,
}
STYLE_GENERATORS = {"stylegan2": stylegan2_generator.GENERATOR}  # core.types.StyleGenerator
DISCRIMINATORS = {
    "resblock": resblock.DISCRIMINATOR,
    "mlp": mlp.DISCRIMINATOR,
    "stylegan2": stylegan2_discriminator.DISCRIMINATOR,
}
ENCODERS = {"resblock": encoder.RESBLOCK_ENCODER, "mlp": encoder.MLP_ENCODER}
AUTOENCODERS = {
    "conv": autoencoder.CONV_AUTOENCODER,
    "mlp": autoencoder.MLP_AUTOENCODER,
}
FEATURE_GENERATORS = {"fastgan": fastgan.GENERATOR}
FEATURE_DISCRIMINATORS = {"multi_scale": multi_scale.DISCRIMINATOR}  # of feature maps
PATCH_DISCRIMINATORS = {"patch": patchgan.DISCRIMINATOR}
