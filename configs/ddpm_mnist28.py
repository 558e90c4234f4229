"""DDPM on MNIST at its own 28x28, with small convolutions; DDIM with 50 steps.

Command:   python -m ddgan_jax.main --config=configs/ddpm_mnist28.py --workdir=runs/ddpm_mnist28
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it)
Hardware:  one CPU core
Time:      2.2 and 2.0 min of training, with other programs on the other core
Expected:  Fréchet distance 218 and 225 (MNIST classifier, 2,000 samples, seeds 0 and 1), balance of
           classes 0.34 and 0.33; measured, docs/comparison.md
Source:    networks, rates and length ours (presets.MNIST28)
"""

from ddgan_jax.presets import MNIST28, ddpm, on_mnist28


def get_config():
    gen = MNIST28["gen"] | dict(tanh=False, latent_map=False)
    config = on_mnist28(ddpm(gen=gen, learning_rate=MNIST28["lr_gen"], clip=True))
    config.sampler.kind, config.sampler.steps = "ddim", 50
    return config
