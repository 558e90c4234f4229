"""DDGAN on stacked MNIST at 14x14, 1,000 modes: minutes on a CPU.

Command:   python -m ddgan_jax.main --config=configs/ddgan_stacked_mnist_cpu.py --workdir=runs/st
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/st
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it)
Hardware:  one CPU core
Time:      13 min with evaluation, with other programs on the other core
Expected:  950 of 1,000 modes, KL 0.61 nats (26,000 samples; as many training triples: 1,000 and
           0.038); measured, docs/results.md. Published, at 32x32 with another network and
           classifier: 1,000 and 0.071
Source:    configs/ddgan_mnist_cpu.py with three channels
"""

from ddgan_jax.presets import ddgan_on_small_mnist


def get_config():
    config = ddgan_on_small_mnist("stacked_mnist", channels=3)
    config.eval.num_samples = 26_000  # the number for which modes and KL are published
    return config
