"""WDDGAN on STL-10 at 64x64, in Haar bands of 32x32x12.

Command:   python -m ddgan_jax.main --config=configs/wddgan_stl10.py --workdir=runs/wstl10
Data:      python -m ddgan_jax prepare stl10 --source=FOLDER (stl10_binary in it)
Hardware:  one or more GPUs
Time:      not measured
Expected:  published: FID 12.93. Not trained with this code
Source:    Phung et al. 2023, arXiv 2211.16152; the flags of the released command

The 100,000 unlabelled images are the training set and the reference of the FID; which images the
published FID is computed with is not known here. docs/reproduction.md has the known differences
from the released code.
"""

from ddgan_jax.presets import STL10_AT_32, on_stl10, wddgan


def get_config():
    config = wddgan(latent_size=100, **STL10_AT_32)
    config.ema_decay = 0.9999
    return on_stl10(config, duration="900 epochs")
