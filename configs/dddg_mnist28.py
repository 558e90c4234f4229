"""DDDG on MNIST at its own 28x28, with small convolutional networks for one CPU core.

Command:   python -m ddgan_jax.main --config=configs/dddg_mnist28.py --workdir=runs/dddg_mnist28
           python -m ddgan_jax reconstruct --workdir=runs/dddg_mnist28 --refine=100
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it)
Hardware:  one CPU core
Time:      83 min of training, 234 images/s
Expected:  FID 29.0 (10,000 samples against 20,000 training images); 10,000 test digits rebuilt from
           the latents of the encoder with 14.68 dB, SSIM 0.506; measured, docs/results.md.
           Published (size of the images not stated): FID 4.196, 14.82 dB, 0.468
Source:    method of Cho 2023; networks, degradation, rates, weights and length ours

Variant:   --config=configs/dddg_mnist28.py:pool has means of 4x4 pixels instead of the DCT low-pass
           and a generator twice as wide at 14x14 and 7x7; 7,500 steps took 72 min of a core that
           other programs used too. FID of 1,000 samples 29.4 instead of 35.0, encoder 14.41 dB
           (docs/results.md)
"""

from ddgan_jax.presets import check_variant, dddg


def get_config(variant="dct"):
    check_variant(variant, "dct", "pool")
    config = dddg(
        degradation="dct",
        levels=(6,),
        latent_size=96,
        classes=10,
        gen=dict(
            network="resblock",
            width=8,
            multipliers=(1, 2, 4),
            blocks=1,
            t_width=64,
            tanh=True,
            latent_map=True,
            equalized=True,
        ),
        disc=dict(
            network="resblock",
            width=8,
            multipliers=(2, 4, 4),
            downsample=(True, True, False),
            t_width=64,
            group=4,
            equalized=True,
        ),
    )
    for role in ("gen", "disc"):
        config.optim[role].learning_rate = 4e-3
        config.optim[role].final_learning_rate = 1e-4
    config.r1.weight = 0.1
    config.r1.every = 4
    config.encoder.weight = 0.3
    config.encoder.variance_decay = 0.98
    config.ema_warmup = False  # as in the measured run
    config.data.name = "tfds:mnist"
    config.data.image_size = 28
    config.data.channels = 1
    config.train.batch_size = 64
    config.train.duration = "18000 steps"
    config.train.log_every = "250 steps"
    config.train.checkpoint_every = "1000 steps"
    config.train.sample_every = "1000 steps"
    if variant == "pool":
        config.degradation.kind, config.degradation.levels = "pool", (4.0,)
        config.gen.multipliers = (1, 4, 8)
        config.r1.weight = 0.2
        config.ema_warmup = True
        config.train.duration = "7500 steps"
    return config
