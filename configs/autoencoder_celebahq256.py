"""Autoencoder of CelebA-HQ 256x256 with downsampling factor 4, for latent DDGAN.

Command:   python -m ddgan_jax.main --config=configs/autoencoder_celebahq256.py --workdir=runs/ae
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/ae
Data:      tfds:celeb_a_hq/256, prepared by TFDS (extra tf; needs files downloaded by hand), or
           python -m ddgan_jax prepare folder
           LPIPS weights: see python -m ddgan_jax lpips --help
Hardware:  not given in the paper
Time:      days; not measured
Expected:  published: FID 0.58 of reconstructions of validation images. Not trained with this code
Source:    Trinh and Hamagami 2024, tables 1 and 7; Rombach et al. 2022 for what they do not give

The data have no validation split: --config.data.split="train[:90%]" and
--config.eval.split="train[90%:]" make one.

The paper gives no weights of the losses; these are those of latent diffusion. Learning rates, batch
size and the start of the adversarial loss are our choice. There is no KL term
(--config.loss.kl=1e-6 adds one).

Variants, --config=configs/autoencoder_celebahq256.py:VARIANT:
  default   losses of latent diffusion without the KL term, the network of table 1 without codes
  paper     the same with the quantizer in the decoder that the text describes: latents are replaced
            by the nearest of 8,192 codes before decoding
  released  the network of the released weights, which are those of latent diffusion: latents
            64x64x3 without a variance, 8,192 codes in the decoder
"""

from ddgan_jax.presets import (
    AUTOENCODER_AT_256,
    CONV_AUTOENCODER,
    at_256,
    autoencoder,
    check_variant,
)

NETWORKS = {
    "default": dict(latent_channels=4),  # latents 64x64x4
    "paper": dict(latent_channels=4, gaussian=False, codes=8192),
    "released": dict(latent_channels=3, gaussian=False, codes=8192),
}


def get_config(variant="default"):
    check_variant(variant, *NETWORKS)
    resolutions = dict(multipliers=(1, 2, 4), attention=())
    network = CONV_AUTOENCODER | resolutions | NETWORKS[variant]
    config = autoencoder(network=network, **AUTOENCODER_AT_256)
    at_256(config, "tfds:celeb_a_hq/256", batch_size=16, duration="450 epochs", num_samples=30_000)
    config.eval.split = "train"
    return config
