"""DDGAN on stacked MNIST: three digits as the channels of one image, 1,000 modes.

Command:   python -m ddgan_jax.main --config=configs/ddgan_stacked_mnist.py --workdir=runs/stacked
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/stacked
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it)
Hardware:  one GPU
Time:      not measured
Expected:  published: 1,000 modes, KL 0.071. Not trained with this code
Source:    protocol and result of Xiao et al. 2022; networks of configs/ddgan_mnist.py with
           twice the width and three channels, sizes ours
"""

from ddgan_jax.presets import MNIST, ddgan


def get_config():
    config = ddgan(
        num_steps=4,
        latent_size=100,
        gen=MNIST["gen"] | dict(width=64, z_width=256),
        disc=MNIST["disc"] | dict(width=64),
        lr_gen=1.6e-4,
        lr_disc=1.25e-4,
        r1_gamma=0.05,
        r1_every=15,
    )
    config.ema_warmup = False  # the published runs have none
    config.data.name = "stacked_mnist"
    config.data.image_size = 32
    config.data.channels = 3
    config.train.batch_size = 128
    config.train.duration = "60 epochs"
    config.train.checkpoint_every = "2 epochs"
    config.train.sample_every = "1 epoch"
    config.eval.num_samples = 26_000  # the number for which modes and KL are published
    return config
