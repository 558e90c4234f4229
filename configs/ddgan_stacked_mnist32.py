"""DDGAN on stacked MNIST at 32x32, 1,000 modes: an hour on a CPU core.

Command:   python -m ddgan_jax.main --config=configs/ddgan_stacked_mnist32.py --workdir=runs/st32
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/st32
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it)
Hardware:  one CPU core
Time:      61 min of training with its evaluations, with other programs on the other core
Expected:  1,000 of 1,000 modes, KL 0.228 nats (26,000 samples, seed 0; as many training triples:
           1,000 and 0.023); measured, docs/results.md. Published, with another network and
           classifier: 1,000 and 0.071
Source:    networks of presets.MNIST28 with 1.5 and 1.33 times the width; length ours
"""

from ddgan_jax.presets import MNIST28, ddgan, on_mnist28


def get_config():
    settings = MNIST28 | dict(
        gen=MNIST28["gen"] | dict(width=24), disc=MNIST28["disc"] | dict(width=16)
    )
    config = on_mnist28(ddgan(num_steps=2, latent_size=64, **settings))
    config.data.name = "stacked_mnist"
    config.data.image_size = 32
    config.data.channels = 3
    config.train.duration = "16000 steps"
    config.eval.every = "4000 steps"
    config.eval.num_samples = 26_000  # the number for which modes and KL are published
    return config
