"""DDGAN on 25 Gaussians (2-D points)."""

from ddgan_jax.config import ddgan


def get_config():
    config = ddgan(
        num_steps=4,
        latent_size=2,
        gen=dict(network="mlp", width=128, blocks=2, t_width=32, octaves=6, tanh=False),
        disc=dict(network="mlp", width=128, blocks=2, t_width=32, octaves=6),
        lr_gen=1e-3,
        lr_disc=1e-3,
        r1_gamma=0.0,
        r1_every=1,
    )
    config.data.name = "gaussians25"
    config.train.batch_size = 512
    config.train.grid = 10_000
    config.sample.batch_size = 10_000
    return config
