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

from ddgan_jax.presets import autoencoder


def get_config():
    config = autoencoder(
        network=dict(
            network="conv",
            width=128,
            multipliers=(1, 2, 4, 4),
            blocks=2,
            attention=(32,),
            latent_channels=3,
            gaussian=True,  # the log-variance is used if config.loss.kl > 0
            codes=0,
            tanh=False,
        ),
        disc=dict(network="patch", width=64, layers=3),
        lpips=1.0,
        adversarial=0.5,
        adversarial_start=50_000,
        learning_rate=4.5e-5,
    )
    config.data.name = "tfds:lsun/church_outdoor"
    config.data.image_size = 256
    config.data.channels = 3
    config.data.flip = True
    config.train.batch_size = 16
    config.train.duration = "100 epochs"
    config.train.checkpoint_every = "1 epoch"
    config.train.sample_every = "1 epoch"
    config.eval.num_samples = 50_000
    config.eval.split = "train"
    return config
