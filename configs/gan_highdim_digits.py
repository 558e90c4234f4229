"""GAN from noise of the image's own size, on the 8x8 digits.

Command:   python -m ddgan_jax.main --config=configs/gan_highdim_digits.py --workdir=runs/highdim
           python -m ddgan_jax.main --mode=evaluate --workdir=runs/highdim
Data:      in the package (1,500 of the 1,797 UCI optical digits; 297 are held out)
Hardware:  two CPU cores
Time:      not measured yet
Expected:  not measured yet
Source:    networks and rates of configs/ddgan_digits.py
"""

from ddgan_jax.presets import gan


def get_config():
    config = gan(
        noise="image",
        gen=dict(network="mlp", width=256, blocks=4, t_width=64, octaves=0, tanh=True),
        disc=dict(network="mlp", width=256, blocks=4, t_width=64, octaves=0, group=4),
        lr_gen=5e-4,
        lr_disc=5e-4,
        r1_gamma=0.05,
        r1_every=15,
    )
    config.data.name = "digits"
    config.train.batch_size = 128
    config.train.duration = "8000 steps"
    config.train.log_every = "500 steps"
    config.train.checkpoint_every = "2000 steps"
    config.train.sample_every = "2000 steps"
    config.eval.num_samples = 1500  # as many as there are digits to train on
    return config
