"""DDPM on MNIST, padded to 32x32: the generator of DDGAN predicts noise, 1,000 steps.

Command:   python -m ddgan_jax.main --config=configs/ddpm_mnist.py --workdir=runs/ddpm_mnist
Data:      python -m ddgan_jax.data.prepare mnist --source=FOLDER (the four idx files in it);
           Fashion-MNIST: prepare fashion_mnist, and --config.data.name=tfds:fashion_mnist
Hardware:  one GPU
Time:      not measured yet
Expected:  not measured yet; the report of this comparison has no numbers
Source:    networks and rates of configs/ddgan_mnist.py

Sampled by any number of steps of either sampler, also after training: for example
--mode=sample --config.sampler.kind=ddim --config.sampler.steps=50.
"""

from ddgan_jax.config import ddpm


def get_config():
    config = ddpm(
        gen=dict(
            network="ncsnpp",
            width=32,
            multipliers=(1, 2, 2),
            blocks=1,
            attention=(8,),
            z_width=128,
            z_layers=3,
            dropout=0.0,
            tanh=False,
            remat=False,
        ),
        learning_rate=2e-4,
        clip=True,
    )
    config.data.name = "tfds:mnist"
    config.data.image_size = 32
    config.data.fit = "pad"
    config.data.channels = 1
    config.train.batch_size = 128
    config.train.duration = "60 epochs"
    config.train.checkpoint_every = "2 epochs"
    config.train.sample_every = "5 epochs"
    return config
