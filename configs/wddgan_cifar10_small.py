"""WDDGAN on CIFAR-10 in Haar bands with small networks, for hours of a CPU core.

Command:   python -m ddgan_jax.main --config=configs/wddgan_cifar10_small.py --workdir=runs/w10
Data:      python -m ddgan_jax prepare cifar10 --source=FOLDER (cifar-10-batches-bin in it)
Hardware:  one CPU core
Time:      84 min for the first 5,694 of 200,000 steps, with other programs on the other core
Expected:  not finished: FID 139 after 364,416 images (2,500 samples against the 10,000 test
           images); measured, docs/results.md. Published, other networks: 4.01 after 65 million
Source:    method of Phung et al. 2023; networks of presets.MNIST28 with other widths; rates, R1 and
           length ours
"""

from ddgan_jax.presets import MNIST28, wddgan


def get_config():
    settings = MNIST28 | dict(
        gen=MNIST28["gen"] | dict(width=48, multipliers=(1, 2, 2)),
        disc=MNIST28["disc"]
        | dict(width=32, multipliers=(2, 4, 4), downsample=(False, True, True)),
        lr_gen=5e-4,
        lr_disc=5e-4,
        r1_gamma=0.5,
        r1_every=8,
    )
    config = wddgan(num_steps=4, latent_size=64, **settings)
    config.ema_decay = 0.999
    config.data.name = "tfds:cifar10"
    config.data.image_size = 32
    config.data.channels = 3
    config.data.flip = True
    config.train.batch_size = 64
    config.train.duration = "200000 steps"
    config.train.checkpoint_every = config.train.sample_every = "500 steps"
    config.eval.split = "test"
    return config
