"""DifGAN on MNIST at its own 28x28, with small convolutions: 2 discriminated steps.

Command:   python -m ddgan_jax.main --config=configs/difgan_mnist28.py --workdir=runs/difgan_mnist28
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it)
Hardware:  one CPU core
Time:      11.2 and 13.0 min of training, with other programs on the other core
Expected:  Fréchet distance 85 and 88 (MNIST classifier, 2,000 samples, seeds 0 and 1), balance of
           classes 0.96 and 0.96; measured, docs/comparison.md
Source:    networks, rates and length ours (presets.MNIST28)
"""

from ddgan_jax.presets import MNIST28, difgan, on_mnist28


def get_config():
    config = on_mnist28(difgan(num_steps=2, **MNIST28))
    config.gen.latent_map = False  # it has no latent
    return config
