"""DDGAN on the 8x8 digits that the package ships (quickstart)."""

from ddgan_jax.config import ddgan


def get_config():
    config = ddgan(
        num_steps=4,
        latent_size=32,
        gen=dict(network="mlp", width=256, blocks=4, t_width=64, octaves=0, tanh=True),
        disc=dict(network="mlp", width=256, blocks=4, t_width=64, octaves=0),
        lr_gen=5e-4,
        lr_disc=5e-4,
        r1_gamma=0.05,
        r1_every=15,
    )
    config.train.batch_size = 128
    config.train.duration = "8000 steps"
    config.train.log_every = "200 steps"
    return config
