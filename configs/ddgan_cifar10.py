"""DDGAN on CIFAR-10, 32x32, with the published settings.

Command:   python -m ddgan_jax.main --config=configs/ddgan_cifar10.py --workdir=runs/cifar10
Data:      python -m ddgan_jax prepare cifar10 --source=FOLDER (cifar-10-batches-bin in it)
Hardware:  published runs: 1 to 8 V100 or A100 GPUs (reported by Trinh and Hamagami 2024)
Time:      days; not measured
Expected:  published: FID 3.75, recall 0.57 (of VGG16 features: recall_vgg16). Not
           trained with this code
Source:    Xiao et al. 2022, arXiv 2112.07804

docs/reproduction.md has the known differences from the released code.
"""

from ddgan_jax.presets import CIFAR10, ddgan, on_cifar10


def get_config():
    config = ddgan(
        latent_size=100,
        gen=dict(
            network="ncsnpp",
            width=128,
            multipliers=(1, 2, 2, 2),
            blocks=2,
            attention=(16,),
            z_width=256,
            z_layers=4,
            dropout=0.0,
            remat=False,
        ),
        disc=dict(
            network="resblock",
            width=64,
            multipliers=(2, 4, 8, 8),
            downsample=(False, True, True, True),
            t_width=256,
            final_scale=0.0,
        ),
        **CIFAR10,
    )
    config.ema_decay = 0.9999
    return on_cifar10(config, duration="1800 epochs")
