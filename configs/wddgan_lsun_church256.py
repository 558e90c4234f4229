"""WDDGAN on LSUN Church 256x256 in Haar bands of 128x128x12, with the published settings.

Command:   python -m ddgan_jax.main --config=configs/wddgan_lsun_church256.py --workdir=runs/wlsun
Data:      tfds:lsun/church_outdoor, prepared by TFDS (extra tf), or prepare folder
Hardware:  published runs: 1 to 8 V100 or A100 GPUs (reported by Trinh and Hamagami 2024)
Time:      not measured
Expected:  published: FID 5.06. Not trained with this code
Source:    Phung et al. 2023, arXiv 2211.16152; numbers and results as given by Trinh and
           Hamagami 2024, arXiv 2406.11713; R1 and EMA as in
           configs/ddgan_lsun_church256.py

Variants: --config=configs/wddgan_lsun_church256.py:released has the 120,000 training images of the
published run; the default, paper, has all images. docs/reproduction.md has the known differences
from the released code.
"""

from ddgan_jax.presets import WDDGAN_AT_256, at_256, check_variant, wddgan


def get_config(variant="paper"):
    check_variant(variant, "paper", "released")
    released = variant == "released"
    config = wddgan(num_steps=4, lr_gen=1.6e-4, r1_gamma=1.0, **WDDGAN_AT_256)
    config.ema_decay = 0.999
    return at_256(
        config, "tfds:lsun/church_outdoor", batch_size=64, duration="500 epochs", released=released
    )
