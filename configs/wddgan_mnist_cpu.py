"""WDDGAN on MNIST shrunk to 14x14, in Haar bands of 7x7x4, within minutes on two CPU cores.

Command:   python -m ddgan_jax.main --config=configs/wddgan_mnist_cpu.py --workdir=runs/wmnist_cpu
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/wmnist_cpu
Data:      python -m ddgan_jax.data.prepare mnist --source=FOLDER (the four idx files in it)
Hardware:  two CPU cores
Time:      not measured yet
Expected:  not measured yet
Source:    our measurement, docs/results.md

configs/ddgan_mnist_cpu.py in another space; the generator's loss has the reconstruction besides.
"""

from ddgan_jax.presets import wddgan


def get_config():
    config = wddgan(
        num_steps=2,
        latent_size=64,
        gen=dict(network="mlp", width=256, blocks=4, t_width=64, octaves=0, tanh=True),
        disc=dict(network="mlp", width=256, blocks=4, t_width=64, octaves=0, group=4),
        lr_gen=5e-4,
        lr_disc=5e-4,
        r1_gamma=0.1,
        r1_every=15,
    )
    config.data.name = "tfds:mnist"
    config.data.image_size = 14
    config.data.channels = 1
    config.train.batch_size = 128
    config.train.duration = "8000 steps"
    config.train.log_every = "500 steps"
    config.train.checkpoint_every = "2000 steps"
    config.train.sample_every = "1000 steps"
    return config
