"""GAN from noise of the image's own size, on MNIST, padded to 32x32.

Command:   python -m ddgan_jax.main --config=configs/gan_highdim_mnist.py --workdir=runs/highdim
Data:      python -m ddgan_jax.data.prepare mnist --source=FOLDER (the four idx files in it);
           Fashion-MNIST: prepare fashion_mnist, and --config.data.name=tfds:fashion_mnist
Hardware:  one GPU
Time:      not measured yet
Expected:  not measured yet; the report of this comparison has no numbers
Source:    networks and rates of configs/ddgan_mnist.py
"""

from ddgan_jax.config import gan


def get_config():
    config = gan(
        noise="image",
        gen=dict(
            network="ncsnpp",
            width=32,
            multipliers=(1, 2, 2),
            blocks=1,
            attention=(8,),
            z_width=128,
            z_layers=3,
            dropout=0.0,
            remat=False,
        ),
        disc=dict(
            network="resblock",
            width=32,
            multipliers=(2, 4, 4, 4),
            downsample=(False, True, True, True),
            t_width=128,
            final_scale=1.0,  # zero-like would keep the discriminator at log 2 for long
        ),
        lr_gen=2e-4,
        lr_disc=1e-4,
        r1_gamma=0.05,
        r1_every=15,
    )
    config.data.name = "tfds:mnist"
    config.data.image_size = 32
    config.data.fit = "pad"
    config.data.channels = 1
    config.train.batch_size = 128
    config.train.duration = "60 epochs"
    config.train.checkpoint_every = "2 epochs"
    config.train.sample_every = "1 epoch"
    return config
