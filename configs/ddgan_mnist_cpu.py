"""DDGAN on MNIST shrunk to 14x14, with residual MLPs: minutes on two CPU cores.

Command:   python -m ddgan_jax.main --config=configs/ddgan_mnist_cpu.py --workdir=runs/mnist_cpu
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/mnist_cpu
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it)
Hardware:  two CPU cores
Time:      7 min 18 s of training, with another program on one of the cores
Expected:  Fréchet distance 11.5 (MNIST classifier, 10,000 samples; test set: 0.72), all ten
           classes; measured, docs/results.md
Source:    networks and settings ours, docs/results.md

At 28x28 the same networks drew only noise after 1,000 steps. With the weaker R1 of
configs/ddgan_digits.py they collapsed.
"""

from ddgan_jax.presets import ddgan_on_small_mnist


def get_config():
    return ddgan_on_small_mnist("tfds:mnist", channels=1)
