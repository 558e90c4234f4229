"""Autoencoder of LSUN Church 256x256 with downsampling factor 8, for latent DDGAN.

Command:   python -m ddgan_jax.main --config=configs/autoencoder_lsun_church256.py --workdir=runs/ae
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/ae
Data:      tfds:lsun/church_outdoor, prepared by TFDS (extra tf), or prepare folder
           LPIPS weights: see python -m ddgan_jax lpips --help
Hardware:  not given in the paper
Time:      days; not measured
Expected:  published: FID 1.14 of reconstructions of validation images. Not trained with this code
Source:    Trinh and Hamagami 2024, tables 1 and 7; Rombach et al. 2022 for what they do not give

The data's own validation split is small: --config.data.split="train[:90%]" and
--config.eval.split="train[90%:]" hold some images out. Without them the evaluation is of training
images.

The paper gives no weights of the losses; these are those of latent diffusion. Learning rates, batch
size and the start of the adversarial loss are our choice. There is no KL term
(--config.loss.kl=1e-6 adds one).

Variants, --config=configs/autoencoder_lsun_church256.py:VARIANT:
  default   losses of latent diffusion without the KL term, the network of table 1 without codes
  paper     the same with the quantizer in the decoder that the text describes: latents are replaced
            by the nearest of 8,192 codes (a number of the CelebA-HQ release) before decoding
  released  the network of the released weights, which are those of latent diffusion (kl-f8):
            latents 32x32x4, no attention but in the middle; and its losses: a KL term of weight
            1e-6 beside the sum of the reconstruction over pixels, a discriminator that starts at
            step 50,001
"""

from ddgan_jax.presets import (
    AUTOENCODER_AT_256,
    CONV_AUTOENCODER,
    at_256,
    autoencoder,
    autoencoder_with_kl,
    check_variant,
)

NETWORKS = {
    "default": dict(attention=(32,), latent_channels=3),  # latents 32x32x3
    "paper": dict(attention=(32,), latent_channels=3, gaussian=False, codes=8192),
    "released": dict(attention=(), latent_channels=4),
}


def get_config(variant="default"):
    check_variant(variant, *NETWORKS)
    network = CONV_AUTOENCODER | dict(multipliers=(1, 2, 4, 4)) | NETWORKS[variant]
    config = autoencoder(network=network, **AUTOENCODER_AT_256)
    if variant == "released":
        autoencoder_with_kl(config, start=50_001)
    at_256(
        config, "tfds:lsun/church_outdoor", batch_size=16, duration="525 epochs", every="1 epoch"
    )
    config.eval.split = "train"
    return config
