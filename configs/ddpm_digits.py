"""DDPM on the 8x8 digits: the generator of DDGAN predicts noise, 1,000 steps.

Command:   python -m ddgan_jax.main --config=configs/ddpm_digits.py --workdir=runs/ddpm_digits
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/ddpm_digits
Data:      in the package (1,500 of the 1,797 UCI optical digits; 297 are held out)
Hardware:  two CPU cores
Time:      not measured yet
Expected:  not measured yet
Source:    networks and rates of configs/ddgan_digits.py, R1 ours (presets.DIGITS)

Sampled by any number of steps of either sampler, also after training: for example
--mode=sample --config.sampler.kind=ddim --config.sampler.steps=50.
"""

from ddgan_jax.presets import DIGITS, ddpm, on_digits


def get_config():
    config = on_digits(ddpm(gen=DIGITS["gen"] | dict(tanh=False), learning_rate=5e-4, clip=True))
    config.eval.trials = 5  # of 1,000 network evaluations each
    return config
