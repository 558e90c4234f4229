"""DDGAN on the 8x8 digits that the package ships: the quickstart.

Command:   python -m ddgan_jax.main --config=configs/ddgan_digits.py --workdir=runs/digits
           python -m ddgan_jax evaluate --workdir=runs/digits
Data:      in the package (1,500 of the 1,797 UCI optical digits; 297 are held out)
Hardware:  one or two CPU cores
Time:      3 min 53 s on two cores, compilation included; 7 min 8 s of training on one core, the
           run measured below
Expected:  readable digits of all ten classes; Fréchet distance 26.4 (digits classifier, 1,500
           samples), precision 0.89, recall 0.71; measured, docs/results.md
Source:    networks and settings ours, docs/results.md

The networks are residual MLPs instead of NCSN++, because they take many more steps in the same time
on two cores. T = 2 gave better samples than T = 4 (docs/results.md).
"""

from ddgan_jax.presets import ddgan


def get_config():
    config = ddgan(
        num_steps=2,
        latent_size=32,
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
    config.train.sample_every = "1000 steps"
    config.eval.num_samples = 1500  # the number of training digits
    return config
