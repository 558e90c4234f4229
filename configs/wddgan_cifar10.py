"""WDDGAN on CIFAR-10 in Haar bands of 16x16x12, with the published settings.

Command:   python -m ddgan_jax.main --config=configs/wddgan_cifar10.py --workdir=runs/wcifar10
Data:      python -m ddgan_jax prepare cifar10 --source=FOLDER (cifar-10-batches-bin in it)
Hardware:  published runs: 1 to 8 V100 or A100 GPUs (reported by Trinh and Hamagami 2024)
Time:      not measured
Expected:  published: FID 4.01. Not trained with this code
Source:    Phung et al. 2023, arXiv 2211.16152; numbers and results as given by Trinh and
           Hamagami 2024, arXiv 2406.11713

The generator is the plain NCSN++ on bands, with attention at the lowest resolution only.
docs/reproduction.md has the known differences from the released code.
"""

from ddgan_jax.presets import wddgan


def get_config():
    config = wddgan(
        num_steps=4,
        latent_size=100,
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
    config.train.duration = "1800 epochs"
    config.train.checkpoint_every = "5 epochs"
    config.train.sample_every = "5 epochs"
    config.eval.num_samples = 50_000
    return config
