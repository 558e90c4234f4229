"""DDGAN on 25 Gaussians: points on a 5x5 grid, sigma 1/40 of the distance between centers.

Command:   python -m ddgan_jax.main --config=configs/ddgan_toy2d.py --workdir=runs/toy2d
           python -m ddgan_jax.main --mode=sample --workdir=runs/toy2d --num_images=10000
           python -m ddgan_jax modes runs/toy2d/samples/samples.npz
Data:      drawn by the package (gaussians25)
Hardware:  one CPU core
Time:      6 min 49 s and 6 min 33 s of training, with other programs on the other core
Expected:  25 of 25 modes, 97.5 % of 10,000 samples within 3 sigma (seeds 0 and 1); measured,
           docs/results.md
Source:    networks and settings ours, docs/results.md

With gen.skip a step begins as the identity, so no mode has to be discovered. Without it, whole rows
of modes are lost with some seeds.

T is 16 because the generator is continuous: where x_(t+1) lies between two modes it draws a bridge
from one to the other. With more and smaller steps fewer points lie there.
"""

from ddgan_jax.presets import ddgan


def get_config():
    config = ddgan(
        num_steps=16,
        latent_size=2,
        gen=dict(network="mlp", width=96, blocks=3, t_width=32, octaves=6, tanh=False, skip=True),
        disc=dict(network="mlp", width=64, blocks=2, t_width=32, octaves=6, group=4),
        lr_gen=5e-4,
        lr_disc=5e-4,
        r1_gamma=3e-4,  # weak: modes are narrow, so the discriminator has to be steep
        r1_every=1,
    )
    # Constant rates, since annealed ones end training too early (docs/results.md).
    for role in ("gen", "disc"):
        config.optim[role].final_learning_rate = config.optim[role].learning_rate
    config.ema_warmup = False  # as in the measured runs
    config.data.name = "gaussians25"
    config.ema_decay = 0.999
    config.train.batch_size = 256
    config.train.duration = "24000 steps"
    config.train.log_every = "1000 steps"
    config.train.checkpoint_every = "4000 steps"
    config.train.sample_every = "2000 steps"
    config.train.grid = 10_000
    config.sample.batch_size = 10_000
    return config
