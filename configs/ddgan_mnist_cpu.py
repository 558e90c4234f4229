"""DDGAN on MNIST shrunk to 14x14, within minutes on two CPU cores: a residual MLP.

Command:   python -m ddgan_jax.main --config=configs/ddgan_mnist_cpu.py --workdir=runs/mnist_cpu
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/mnist_cpu
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it)
Hardware:  two CPU cores
Time:      7 min 18 s of training while another program used one of the cores
Expected:  Fréchet distance of MNIST-classifier features 11.5 (test set: 0.72), all ten classes
Source:    our measurement, docs/results.md; configs/ddgan_mnist.py is the one for accelerators

At 28x28 the same networks had drawn nothing but noise after 1,000 steps, and collapsed with the
weaker R1 of the digits.
"""

from ddgan_jax.presets import ddgan_on_small_mnist


def get_config():
    return ddgan_on_small_mnist("tfds:mnist", channels=1)
