"""DDGAN on stacked MNIST at 14x14, within minutes on a CPU core: 1,000 modes to cover.

Command:   python -m ddgan_jax.main --config=configs/ddgan_stacked_mnist_cpu.py --workdir=runs/st
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/st
Data:      python -m ddgan_jax.data.prepare mnist --source=FOLDER (the four idx files in it)
Hardware:  one CPU core
Time:      13 min with evaluation, other programs on the other core
Expected:  950 of 1,000 modes, KL 0.61 nats (26,000 samples; the training triples themselves: 1,000
           and 0.038); published at 32x32 with another network: 1,000 and 0.071
Source:    our measurement, docs/results.md; configs/ddgan_stacked_mnist.py is for accelerators

configs/ddgan_mnist_cpu.py with three channels.
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
    config.data.name = "stacked_mnist"
    config.data.image_size = 14
    config.data.channels = 3
    config.train.batch_size = 128
    config.train.duration = "8000 steps"
    config.train.log_every = "500 steps"
    config.train.checkpoint_every = "2000 steps"
    config.train.sample_every = "1000 steps"
    config.eval.num_samples = 26_000  # what modes and KL are published for
    return config
