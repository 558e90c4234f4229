"""DifGAN on 25 Gaussians: 4 steps of one generator, judged at every step.

Command:   python -m ddgan_jax.main --config=configs/difgan_toy2d.py --workdir=runs/difgan_toy2d
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/difgan_toy2d
Hardware:  two CPU cores
Time:      not measured yet
Expected:  not measured yet
Source:    networks and rates of configs/ddgan_toy2d.py
"""

from ddgan_jax.presets import difgan


def get_config():
    config = difgan(
        num_steps=4,
        gen=dict(network="mlp", width=96, blocks=3, t_width=32, octaves=6, tanh=False),
        disc=dict(network="mlp", width=64, blocks=2, t_width=32, octaves=6, group=4),
        lr_gen=5e-4,
        lr_disc=5e-4,
        r1_gamma=3e-4,  # modes are narrow, so the discriminator has to be steep
        r1_every=1,
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
