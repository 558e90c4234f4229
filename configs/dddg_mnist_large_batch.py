"""DDDG on MNIST padded to 32x32, in batches that fill an accelerator.

Command:   python -m ddgan_jax.main --config=configs/dddg_mnist_large_batch.py --workdir=runs/large
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it)
Hardware:  one GPU, or up to 8 accelerators
Time:      23,400 steps of 256 images; not measured
Expected:  published for batches of 16 (size not stated): FID 4.196, PSNR 14.82 dB,
           SSIM 0.468. Not trained with this code
Source:    configs/dddg_mnist.py with a sixteenth of its steps, and the changes below

The running variance of the latents keeps its length in images, so its decay changes by a factor of
16 in steps; the decay of the averaged weights changes by a factor of 4, because larger batches have
less noise. Adam moves a weight by about the learning rate per step for every batch size, so fewer
steps need higher rates, annealed: three times for the generator and six times for the
discriminator. At 14x14, with these rates and means of 0.99
and 0.95, the distance was 39.6 instead of 33.1, and 20.3 dB instead of 22.2 after refinement
(docs/results.md).
"""

from ddgan_jax.presets import DDDG_MNIST, dddg


def get_config():
    config = dddg(**DDDG_MNIST)
    for role, rate in (("gen", 6e-3), ("disc", 1.2e-2)):
        config.optim[role].learning_rate = rate
        config.optim[role].final_learning_rate = 1e-4
    config.ema_warmup = False  # as in dddg_mnist
    config.data.name = "tfds:mnist"
    config.data.image_size = 32
    config.data.fit = "pad"
    config.data.channels = 1
    config.encoder.variance_decay = 0.984
    config.ema_decay = 0.996
    config.train.batch_size = 256
    config.train.duration = "100 epochs"
    config.train.checkpoint_every = "5 epochs"
    config.train.sample_every = "2 epochs"
    config.eval.num_samples = 50_000
    config.eval.extractors, config.eval.repeat_grey = ("inception",), True
    return config
