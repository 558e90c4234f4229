"""DDPM on the 8x8 digits: DDGAN's generator predicts noise; DDIM with 50 steps.

Command:   python -m ddgan_jax.main --config=configs/ddpm_digits.py --workdir=runs/ddpm_digits
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/ddpm_digits
Data:      in the package (1,500 of the 1,797 UCI optical digits; 297 are held out)
Hardware:  one CPU core
Time:      4 min 54 s of training
Expected:  Fréchet distance 97.9 (digits classifier, 1,500 samples), precision 0.71, recall 0.75;
           measured, docs/comparison.md
Source:    network of configs/ddgan_digits.py; rate and length ours

Sampling works with any number of steps of either sampler, also after training; DDPM's own is
--mode=sample --config.sampler.kind=ancestral --config.sampler.steps=1000.
"""

from ddgan_jax.presets import DIGITS, ddpm, on_digits


def get_config():
    config = on_digits(ddpm(gen=DIGITS["gen"] | dict(tanh=False), learning_rate=1e-3, clip=True))
    config.train.duration = "16000 steps"  # a step trains one network only, so it is cheap
    config.sampler.kind, config.sampler.steps = "ddim", 50
    return config
