"""DDGAN on MNIST shrunk to 14x14, within minutes on two CPU cores: a residual MLP.

Command:   python -m ddgan_jax.main --config=configs/ddgan_mnist_cpu.py --workdir=runs/mnist_cpu
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/mnist_cpu
Data:      python -m ddgan_jax.data.prepare mnist --source=FOLDER (the four idx files in it)
Hardware:  two CPU cores
Time:      7 min 18 s of training while another program used one of the cores
Expected:  Fréchet distance of MNIST-classifier features 11.5 (test set: 0.72), all ten classes
Source:    our measurement, docs/results.md; configs/ddgan_mnist.py is the one for accelerators

At 28x28 the same networks had drawn nothing but noise after 1,000 steps, and collapsed with the
weaker R1 of the digits.
"""

from ddgan_jax.presets import ddgan


def get_config():
    config = ddgan(
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
