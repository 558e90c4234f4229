"""DDDG on CIFAR-10, 32x32. The paper has no experiment on CIFAR-10.

Command:   python -m ddgan_jax.main --config=configs/dddg_cifar10.py --workdir=runs/dddg_cifar10
Data:      python -m ddgan_jax prepare cifar10 --source=FOLDER (cifar-10-batches-bin in it)
Hardware:  one or more GPUs
Time:      not measured
Expected:  no published result. Not trained with this code
Source:    degradation, weights and Adam of Cho 2023; half the width of DDGAN's
           CIFAR-10 generator, the width of its discriminator; d_z, batch, means and length ours
"""

from ddgan_jax.presets import dddg


def get_config():
    config = dddg(
        degradation="blur",
        levels=(6, 5, 4, 3, 2),
        latent_size=128,
        classes=10,
        gen=dict(
            network="ncsnpp",
            width=64,
            multipliers=(1, 2, 2, 2),
            blocks=2,
            attention=(16,),
            z_width=256,
            z_layers=3,
            tanh=False,  # equation 2 adds x'_t to the output of the network
            normalize_z=False,  # the encoder predicts the length of z too
            coordinates=True,  # x_0 is constant, so positions have to be given
            equalized=True,
            remat=False,
        ),
        disc=dict(
            network="resblock",
            width=64,
            multipliers=(2, 4, 8, 8),
            downsample=(False, True, True, True),
            t_width=256,
            group=4,
            equalized=True,
        ),
    )
    config.ema_warmup = False  # the published runs have none
    config.data.name = "tfds:cifar10"
    config.data.image_size = 32
    config.data.channels = 3
    config.data.flip = True
    config.encoder.variance_decay = 0.99
    config.ema_decay = 0.9995
    config.train.batch_size = 64
    config.train.duration = "200 epochs"
    config.train.checkpoint_every = "2 epochs"
    config.train.sample_every = "2 epochs"
    config.eval.num_samples = 50_000
    return config
