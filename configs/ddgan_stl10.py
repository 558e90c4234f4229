"""DDGAN on STL-10 at 64x64: the pixel-space counterpart of wddgan_stl10.

Command:   python -m ddgan_jax.main --config=configs/ddgan_stl10.py --workdir=runs/stl10
Data:      python -m ddgan_jax prepare stl10 --source=FOLDER (stl10_binary in it)
Hardware:  one or more GPUs
Time:      not measured
Expected:  no published run with these settings is known here. Not trained with this code
Source:    Xiao et al. 2022, arXiv 2112.07804: networks and rates of CIFAR-10; data and length of
           wddgan_stl10
"""

from ddgan_jax.presets import CIFAR10, STL10_AT_32, ddgan, on_stl10


def get_config():
    networks = dict(gen=STL10_AT_32["gen"] | dict(network="ncsnpp"), disc=STL10_AT_32["disc"])
    config = ddgan(latent_size=100, **CIFAR10 | networks)
    config.ema_decay = 0.9999
    return on_stl10(config, duration="900 epochs")
