"""GAN from noise of the image's size, on MNIST at its own 28x28, with small convolutions.

Command:   python -m ddgan_jax.main --config=configs/gan_highdim_mnist28.py --workdir=runs/highdim28
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it)
Hardware:  one CPU core
Time:      6.8 and 6.4 min of training, with other programs on the other core
Expected:  Fréchet distance 106 and 99 (MNIST classifier, 2,000 samples, seeds 0 and 1), balance of
           classes 0.94 and 0.95; measured, docs/comparison.md
Source:    networks, rates and length ours (presets.MNIST28)
"""

from ddgan_jax.presets import MNIST28, gan, on_mnist28


def get_config():
    config = on_mnist28(gan(noise="image", **MNIST28))
    config.gen.latent_map = False  # it has no latent
    return config
