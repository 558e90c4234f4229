"""Autoencoder of LSUN Church, 256x256, f = 8: what latent DDGAN works in.

Command:   python -m ddgan_jax.main --config=configs/autoencoder_lsun_church256.py --workdir=runs/ae
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/ae
Data:      prepared by TFDS (extra tf), or data.prepare folder
           LPIPS: python -m ddgan_jax lpips (see its --help)
Hardware:  not said in the paper
Time:      days; not measured by us
Expected:  published: FID 1.14 of validation images and their reconstructions. Not trained by us
Source:    Trinh and Hamagami 2024, table 1;
           Rombach et al. 2022 for what they do not say

The paper gives no weights of its losses: these are latent diffusion's. Rates, batch and the delay
of the adversarial game are ours. No KL term, the paper's point (--config.loss.kl=1e-6 for one).
The number of epochs is ours.
"""

from ddgan_jax.presets import AUTOENCODER_AT_256, CONV_AUTOENCODER, at_256, autoencoder


def get_config():
    resolutions = dict(multipliers=(1, 2, 4, 4), attention=(32,), latent_channels=3)  # 32x32x3
    config = autoencoder(network=CONV_AUTOENCODER | resolutions, **AUTOENCODER_AT_256)
    at_256(
        config, "tfds:lsun/church_outdoor", batch_size=16, duration="100 epochs", every="1 epoch"
    )
    config.eval.split = "train"
    return config
