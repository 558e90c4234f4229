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
(--config.loss.kl=1e-6 adds one). docs/reproduction.md has the differences from the released
autoencoder.
"""

from ddgan_jax.presets import autoencoder


def get_config():
    config = autoencoder(
        network=dict(
            network="conv",
            width=128,
            multipliers=(1, 2, 4),
            blocks=2,
            attention=(),
            latent_channels=4,
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
    config.data.name = "tfds:celeb_a_hq/256"
    config.data.image_size = 256
    config.data.channels = 3
    config.data.flip = True
    config.train.batch_size = 16
    config.train.duration = "450 epochs"
    config.train.checkpoint_every = "5 epochs"
    config.train.sample_every = "5 epochs"
    config.eval.num_samples = 30_000
    config.eval.split = "train"
    return config
