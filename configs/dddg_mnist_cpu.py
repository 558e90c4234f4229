"""DDDG on MNIST shrunk to 14x14: sampling and inversion in minutes on a CPU.

Command:   python -m ddgan_jax.main --config=configs/dddg_mnist_cpu.py --workdir=runs/dddg_mnist_cpu
           python -m ddgan_jax.main --mode=reconstruct --workdir=runs/dddg_mnist_cpu --refine=100
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it)
Hardware:  one CPU core
Time:      under 7 min of training on a free core
Expected:  Fréchet distance 10.7 (10,000 samples, MNIST classifier); 297 test digits reconstructed
           with PSNR 17.3 dB, 25.1 dB after 100 steps of refinement; measured, docs/results.md
Source:    method of Cho 2023; sizes, degradation, rates, weights and lengths ours
"""

from ddgan_jax.presets import dddg


def get_config():
    config = dddg(
        degradation="dct",
        levels=(4,),
        latent_size=48,
        classes=10,
        gen=dict(
            network="mlp", width=256, blocks=3, t_width=32, octaves=0, tanh=True, equalized=True
        ),
        disc=dict(network="mlp", width=256, blocks=3, t_width=32, group=4, equalized=True),
    )
    for role, rate in (("gen", 6e-3), ("disc", 1.2e-2)):
        config.optim[role].learning_rate = rate
        config.optim[role].final_learning_rate = 1e-4
    config.r1.weight = 0.02
    config.encoder.weight = 0.1
    config.encoder.per_class = True
    config.encoder.variance_decay = 0.98
    config.ema_warmup = False  # as in the measured runs
    config.data.name = "tfds:mnist"
    config.data.image_size = 14
    config.data.channels = 1
    config.train.batch_size = 128
    config.train.duration = "8000 steps"
    config.train.log_every = "500 steps"
    config.train.checkpoint_every = "2000 steps"
    config.train.sample_every = "2000 steps"
    return config
