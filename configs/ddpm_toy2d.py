"""DDPM on 25 Gaussians: the generator of DDGAN predicts noise, 1,000 steps.

Command:   python -m ddgan_jax.main --config=configs/ddpm_toy2d.py --workdir=runs/ddpm_toy2d
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/ddpm_toy2d
Hardware:  two CPU cores
Time:      not measured yet
Expected:  not measured yet
Source:    networks and rates of configs/ddgan_toy2d.py

Sampled by any number of steps of either sampler, also after training: for example
--mode=sample --config.sampler.kind=ddim --config.sampler.steps=50.
"""

from ddgan_jax.presets import ddpm


def get_config():
    config = ddpm(
        gen=dict(network="mlp", width=96, blocks=3, t_width=32, octaves=6, tanh=False),
        learning_rate=5e-4,
        clip=False,
    )
    for role in config.optim:  # a constant rate: annealed, it stops short (docs/results.md)
        config.optim[role].final_learning_rate = config.optim[role].learning_rate
    config.data.name = "gaussians25"
    config.train.batch_size = 256
    config.train.duration = "24000 steps"
    config.train.log_every = "1000 steps"
    config.train.checkpoint_every = "4000 steps"
    config.train.sample_every = "4000 steps"
    config.train.grid = 10_000
    config.sample.batch_size = 10_000
    return config
