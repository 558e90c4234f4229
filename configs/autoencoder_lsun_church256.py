"""Autoencoder of LSUN Church 256x256 with downsampling factor 8, for latent DDGAN.

Command:   python -m ddgan_jax.main --config=configs/autoencoder_lsun_church256.py --workdir=runs/ae
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/ae
Data:      tfds:lsun/church_outdoor, prepared by TFDS (extra tf), or prepare folder
           LPIPS weights: see python -m ddgan_jax lpips --help
Hardware:  not given in the paper
Time:      days; not measured
Expected:  published: FID 1.14 of reconstructions of validation images. Not trained with this code
Source:    Trinh and Hamagami 2024, table 1; Rombach et al. 2022 for what they do not give

The paper gives no weights of the losses; these are those of latent diffusion. Learning rates, batch
size, number of epochs and the start of the adversarial loss are our choice. There is no KL term
(--config.loss.kl=1e-6 adds one). docs/reproduction.md has the differences from the released
autoencoder.
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
