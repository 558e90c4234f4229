"""Latent DDGAN on CelebA-HQ 256x256, with the settings of the paper's tables.

Command:   python -m ddgan_jax.main --config=configs/autoencoder_celebahq256.py --workdir=runs/ae
           python -m ddgan_jax.main --config=configs/lddgan_celebahq256.py --workdir=runs/lddgan
Data:      tfds:celeb_a_hq/256, prepared by TFDS (extra tf; needs files downloaded by hand), or
           python -m ddgan_jax prepare folder
Hardware:  published: two RTX A5000
Time:      published: 1.5 days; not measured
Expected:  published: FID 5.21, recall 0.40 (of VGG16 features, unlike ours). Not
           trained with this code
Source:    Trinh and Hamagami 2024, tables 1, 8, 9, 10; R1 as in Xiao et al. 2022

The latents are 64x64x4. The generator of table 8 has 48.4 million parameters; table 2 counts 45.39
million with the decoder. The released command has other settings, see docs/reproduction.md.
"""

from ddgan_jax.presets import lddgan


def get_config():
    config = lddgan(
        autoencoder="runs/ae",
        num_steps=2,
        latent_size=25,
        gen=dict(
            network="ncsnpp",
            width=128,
            multipliers=(1, 2, 2, 2),
            blocks=2,
            attention=(16,),
            z_width=256,
            z_layers=4,
            dropout=0.0,
            remat=False,
        ),
        disc=dict(
            network="resblock",
            width=64,
            multipliers=(4, 8, 8, 8),
            downsample=(True,) * 4,
            t_width=256,
            final_scale=1.0,
        ),
        lr_gen=2e-4,
        lr_disc=1e-4,
        r1_gamma=2.0,
        r1_every=10,
    )
    config.data.name = "tfds:celeb_a_hq/256"
    config.data.image_size = 256
    config.data.channels = 3
    config.data.flip = True
    config.ema_decay = 0.999
    config.train.batch_size = 128
    config.train.duration = "400 epochs"
    config.train.checkpoint_every = "5 epochs"
    config.train.sample_every = "5 epochs"
    config.eval.num_samples = 50_000
    return config
