"""DDPM on the 8x8 digits: the generator of DDGAN predicts noise, 1,000 steps.

Command:   python -m ddgan_jax.main --config=configs/ddpm_digits.py --workdir=runs/ddpm_digits
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/ddpm_digits
Data:      in the package (1,500 of the 1,797 UCI optical digits; 297 are held out)
Hardware:  two CPU cores
Time:      not measured yet
Expected:  not measured yet
Source:    networks and rates of configs/ddgan_digits.py

Sampled by any number of steps of either sampler, also after training: for example
--mode=sample --config.sampler.kind=ddim --config.sampler.steps=50.
"""

from ddgan_jax.presets import ddpm


def get_config():
    config = ddpm(
        gen=dict(network="mlp", width=256, blocks=4, t_width=64, octaves=0, tanh=False),
        learning_rate=5e-4,
        clip=True,
    )
    config.data.name = "digits"
    config.train.batch_size = 128
    config.train.duration = "16000 steps"
    config.train.log_every = "500 steps"
    config.train.checkpoint_every = "2000 steps"
    config.train.sample_every = "4000 steps"
    config.eval.num_samples = 1500  # as many as there are digits to train on
    config.eval.trials = 5  # of 1,000 network evaluations each
    return config
