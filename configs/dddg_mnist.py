"""DDDG on MNIST padded to 32x32, with the settings of the paper.

Command:   python -m ddgan_jax.main --config=configs/dddg_mnist.py --workdir=runs/dddg_mnist
           with the ResBlock U-Net: --config=configs/dddg_mnist.py:resblock
Data:      python -m ddgan_jax prepare mnist --source=FOLDER (the four idx files in it)
Hardware:  one GPU
Time:      375,000 steps of 16 images; not measured
Expected:  published (size not stated): FID 4.196, PSNR 14.82 dB, SSIM 0.468. Not
           trained with this code
Source:    Cho 2023; the paper does not give the sizes of its networks, these are ours
"""

from ddgan_jax.presets import DDDG_MNIST, dddg

GENERATORS = {
    "ncsnpp": DDDG_MNIST["gen"],
    "resblock": dict(
        network="resblock",
        width=64,
        multipliers=(1, 2, 2),
        blocks=2,
        t_width=256,
        tanh=False,
        coordinates=True,
        equalized=True,
    ),
}


def get_config(generator="ncsnpp"):
    config = dddg(**DDDG_MNIST | dict(gen=GENERATORS[generator]))
    config.ema_warmup = False  # the published runs have none
    config.data.name = "tfds:mnist"
    config.data.image_size = 32
    config.data.fit = "pad"
    config.data.channels = 1
    config.train.batch_size = 16
    config.train.duration = "100 epochs"
    config.train.log_every = "600 steps"
    config.train.checkpoint_every = "1 epoch"
    config.train.sample_every = "1 epoch"
    config.eval.num_samples = 50_000
    config.eval.extractors, config.eval.repeat_grey = ("inception",), True
    return config
