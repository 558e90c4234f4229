"""Latent DDGAN on CIFAR-10, 32x32, with the settings of the paper's tables.

Command:   python -m ddgan_jax.main --config=configs/autoencoder_cifar10.py --workdir=runs/ae
           python -m ddgan_jax.main --config=configs/lddgan_cifar10.py --workdir=runs/lddgan
Data:      python -m ddgan_jax prepare cifar10 --source=FOLDER (cifar-10-batches-bin in it)
Hardware:  published: one RTX A5000
Time:      published: 1 day; not measured
Expected:  published: FID 2.98, recall 0.58 (of VGG16 features, unlike ours). Not
           trained with this code
Source:    Trinh and Hamagami 2024, tables 1, 8, 9, 10; R1 as in Xiao et al. 2022

The paper prints 25 numbers in z; with 50 the generator has 33,329,668 parameters, as many as the
released one. The released command has other settings, see docs/reproduction.md.
"""

from ddgan_jax.presets import lddgan


def get_config():
    config = lddgan(
        autoencoder="runs/ae",
        num_steps=4,
        latent_size=25,
        gen=dict(
            network="ncsnpp",
            width=128,
            multipliers=(1, 2, 2),
            blocks=2,
            attention=(),
            z_width=256,
            z_layers=4,
            dropout=0.0,
            remat=False,
        ),
        disc=dict(
            network="resblock",
            width=64,
            multipliers=(2, 4, 8),
            downsample=(False, True, True),
            t_width=256,
            final_scale=0.0,
        ),
        lr_gen=1.6e-4,
        lr_disc=1.25e-4,
        r1_gamma=0.02,
        r1_every=15,
    )
    config.data.name = "tfds:cifar10"
    config.data.image_size = 32
    config.data.channels = 3
    config.data.flip = True
    config.ema_decay = 0.9999
    config.train.batch_size = 256
    config.train.duration = "1700 epochs"
    config.train.checkpoint_every = "5 epochs"
    config.train.sample_every = "5 epochs"
    config.eval.num_samples = 50_000
    return config
