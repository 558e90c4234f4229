"""Autoencoder of CelebA-HQ, 256x256, f = 4: what latent DDGAN works in.

Command:   python -m ddgan_jax.main --config=configs/autoencoder_celebahq256.py --workdir=runs/ae
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/ae
Data:      prepared by TFDS (extra tf; it wants manual files), or data.prepare folder
           LPIPS: python -m ddgan_jax lpips (see its --help)
Hardware:  not said in the paper
Time:      days; not measured by us
Expected:  published: FID 0.58 of validation images and their reconstructions. Not trained by us
Source:    Trinh and Hamagami 2024, tables 1 and 7;
           Rombach et al. 2022 for what they do not say

The paper gives no weights of its losses: these are latent diffusion's. Rates, batch and the delay
of the adversarial game are ours. No KL term, the paper's point (--config.loss.kl=1e-6 for one).
The data have no validation split: --config.data.split="train[:90%]" and
--config.eval.split="train[90%:]" make one.
"""

from ddgan_jax.presets import AUTOENCODER_AT_256, CONV_AUTOENCODER, at_256, autoencoder


def get_config():
    resolutions = dict(multipliers=(1, 2, 4), attention=(), latent_channels=4)  # latents 64x64x4
    config = autoencoder(network=CONV_AUTOENCODER | resolutions, **AUTOENCODER_AT_256)
    at_256(config, "tfds:celeb_a_hq/256", batch_size=16, duration="450 epochs", num_samples=30_000)
    config.eval.split = "train"
    return config
